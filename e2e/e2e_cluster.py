"""The API server as the stories use it: apply, read, wait for conditions, exec, logs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.stream import stream

from e2e_waiting import eventually
from milepost_crds import API_VERSION

Object = dict[str, Any]

FIELD_MANAGER = "milepost-e2e"
KINDS: Mapping[str, str] = {
    "AgentWorkflow": API_VERSION,
    "ModelService": API_VERSION,
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "StorageClass": "storage.k8s.io/v1",
}
"""API version by kind; every other kind is of the core group."""


@contextmanager
def api_client() -> Iterator[client.ApiClient]:
    """A client whose connections are closed at the end; its own `close` leaves them to the garbage collector."""
    api = client.ApiClient()
    try:
        yield api
    finally:
        api.rest_client.pool_manager.clear()
        api.close()


class Cluster:
    """One cluster, named by a kubeconfig. A context manager: its connections are closed at the end."""

    def __init__(self, kubeconfig: str) -> None:
        self.kubeconfig = kubeconfig
        config.load_kube_config(kubeconfig)
        self._connections = api_client()
        self.api = self._connections.__enter__()
        self._dynamic = DynamicClient(self.api)
        self.core = client.CoreV1Api(self.api)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connections.__exit__(None, None, None)

    def _kind(self, kind: str) -> Any:
        return self._dynamic.resources.get(api_version=KINDS.get(kind, "v1"), kind=kind)

    def apply(self, manifest: Mapping[str, Any], namespace: str | None = None) -> Object:
        """Server-side apply, as `kubectl apply --server-side` does it. Raises ApiException."""
        body = dict(manifest)
        applied = self._kind(body["kind"]).server_side_apply(
            body=body, namespace=namespace, field_manager=FIELD_MANAGER, force_conflicts=True
        )
        return dict(applied.to_dict())

    def apply_files(self, path: Path, namespace: str) -> None:
        """Every document of a folder of manifests."""
        for file in sorted(path.glob("*.yaml")):
            for document in yaml.safe_load_all(file.read_text()):
                if document:
                    self.apply(document, namespace)

    def create(self, manifest: Mapping[str, Any], namespace: str) -> Object:
        return dict(self._kind(manifest["kind"]).create(body=dict(manifest), namespace=namespace).to_dict())

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object:
        """Raises ApiException (404)."""
        return dict(self._kind(kind).get(name=name, namespace=namespace).to_dict())

    def find(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        try:
            return self.get(kind, name, namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            return None

    def objects(self, kind: str, namespace: str | None = None, selector: str | None = None) -> list[Object]:
        found = self._kind(kind).get(namespace=namespace, label_selector=selector)
        return [dict(each) for each in found.to_dict()["items"]]

    def patch(self, kind: str, name: str, namespace: str, patch: Mapping[str, Any]) -> Object:
        """A JSON merge patch."""
        kinds = self._kind(kind)
        patched = kinds.patch(
            name=name, namespace=namespace, body=dict(patch), content_type="application/merge-patch+json"
        )
        return dict(patched.to_dict())

    def scale(self, kind: str, name: str, namespace: str, replicas: int) -> None:
        """Through the scale subresource, as `kubectl scale` does it."""
        self._kind(kind).subresources["scale"].patch(
            name=name,
            namespace=namespace,
            body={"spec": {"replicas": replicas}},
            content_type="application/merge-patch+json",
        )

    def delete(
        self, kind: str, name: str, namespace: str | None = None, grace: int | None = None, *, orphan: bool = False
    ) -> None:
        """Begins a deletion; what is not there is fine. `grace` 0 forces a pod off, `orphan` leaves its children."""
        options = {"propagationPolicy": "Orphan"} if orphan else {}
        try:
            self._kind(kind).delete(name=name, namespace=namespace, body=options, grace_period_seconds=grace)
        except ApiException as error:
            if error.status != 404:
                raise

    def evict(self, pod: str, namespace: str) -> None:
        """Asks a pod to leave as `kubectl drain` does, past its PodDisruptionBudget. Raises ApiException (429)."""
        eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=pod, namespace=namespace))
        self.core.create_namespaced_pod_eviction(pod, namespace, eviction)

    def delete_and_wait(self, kind: str, name: str, namespace: str | None = None, within: float = 60) -> None:
        self.delete(kind, name, namespace)
        eventually(
            f"{kind} {name} is gone", lambda: self.find(kind, name, namespace), lambda seen: seen is None, within=within
        )

    def wait_condition(
        self,
        kind: str,
        name: str,
        namespace: str,
        condition: str = "Ready",
        status: str = "True",
        *,
        reason: str | None = None,
        message: str = "",
        within: float = 180,
    ) -> Object:
        """The resource once its condition is so, for its present generation."""

        def good(seen: Object) -> bool:
            found = condition_of(seen, condition)
            return (
                found.get("status") == status
                and found.get("observedGeneration") in (None, seen["metadata"]["generation"])
                and reason in (None, found.get("reason"))
                and message in found.get("message", "")
            )

        wanted = f"{kind} {name} is {condition}={status}" + (f" ({reason})" if reason else "")
        return eventually(
            wanted,
            lambda: digest_of(self.get(kind, name, namespace)),
            good,
            within=within,
            explain=lambda: self.pods_in_words(namespace),
        )

    def pods(self, namespace: str, selector: str | None = None) -> list[Object]:
        return self.objects("Pod", namespace, selector)

    def pods_in_words(self, namespace: str) -> str:
        """A line for each pod: what its containers do, and why."""
        return "\n".join(["pods:", *map(pod_in_words, self.pods(namespace))])

    def exec(self, namespace: str, pod: str, command: Sequence[str], container: str | None = None) -> str:
        """Standard output and error of a command in a container, whatever its exit code."""
        more = {"container": container} if container else {}
        with api_client() as api:  # a stream borrows its client's transport, and other threads need theirs
            answer = stream(
                client.CoreV1Api(api).connect_get_namespaced_pod_exec,
                pod,
                namespace,
                command=list(command),
                stderr=True,
                stdin=False,
                stdout=True,
                tty=False,
                _preload_content=False,
                **more,
            )
            try:
                answer.run_forever()
                return str(answer.read_all())
            finally:
                answer.sock.shutdown()  # its own `close` does nothing once the other side has said that it closes

    def logs(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> str:
        """The whole log of a container; the reason when there is none."""
        try:
            text = self.core.read_namespaced_pod_log(pod, namespace, container=container, previous=previous)
        except ApiException as error:
            return f"(no log: {error.reason} {error.body})"
        return str(text)

    def call(self, *command: str) -> str:
        """Runs a program such as helm against this cluster. Raises AssertionError with its output."""
        return run_program(command, KUBECONFIG=self.kubeconfig)


def run_program(command: Sequence[str], within: float = 300, folder: Path | None = None, **environment: str) -> str:
    """Standard output of a program. Raises AssertionError with all of its output when it fails."""
    merged = {**os.environ, **environment}
    done = subprocess.run(command, cwd=folder, env=merged, capture_output=True, text=True, timeout=within)
    assert done.returncode == 0, f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def condition_of(resource: Mapping[str, Any], condition: str) -> Object:
    """The condition of that type, empty when there is none."""
    found = (resource.get("status") or {}).get("conditions") or []
    return next((dict(each) for each in found if each["type"] == condition), {})


def digest_of(resource: Object) -> Object:
    """What matters of a resource while its conditions are waited for."""
    metadata = resource["metadata"]
    kept = {key: metadata[key] for key in ("name", "generation", "uid") if key in metadata}
    return {"kind": resource["kind"], "metadata": kept, "status": resource.get("status") or {}}


def pod_in_words(pod: Mapping[str, Any]) -> str:
    status = pod.get("status") or {}
    containers = [
        f"{each['name']} ready={each['ready']} restarts={each['restartCount']} "
        f"{json.dumps(each.get('state') or {})[:300]}"
        for each in status.get("containerStatuses") or []
    ]
    waits = [
        each["message"]
        for each in status.get("conditions") or []
        if each["type"] == "PodScheduled" and each.get("message")
    ]
    leaving = " (terminating)" if pod["metadata"].get("deletionTimestamp") else ""
    return f"  {pod['metadata']['name']} {status.get('phase')}{leaving} {'; '.join(containers + waits)}"


def restarts(pods: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Restarts of each pod by its name and uid: a pod that was replaced counts as another one."""
    return {
        f"{pod['metadata']['name']}/{pod['metadata']['uid']}": sum(
            each["restartCount"] for each in (pod.get("status") or {}).get("containerStatuses") or []
        )
        for pod in pods
    }


def ready_pods(pods: Sequence[Object]) -> list[Object]:
    """Those that are ready and not on their way out."""
    return [
        pod
        for pod in pods
        if condition_of(pod, "Ready").get("status") == "True" and not pod["metadata"].get("deletionTimestamp")
    ]
