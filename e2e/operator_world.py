"""A namespace, a role with exactly the operator's permissions, and small resources whose pods no node takes."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from e2e_cluster import Cluster, Object
from e2e_waiting import eventually
from milepost_crds import API_VERSION
from milepost_operator.permissions import RULES
from operator_process import OperatorProcess
from operator_proxy import Proxy

NOWHERE = {"nodeSelector": {"milepost.dev/nowhere": "true"}}
NAME = "operator"
MARKS = [
    pytest.mark.cluster,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
"""Of every file of tests that run an operator as a process."""


@dataclass
class World:
    """What a test has at hand."""

    cluster: Cluster
    proxy: Proxy
    namespace: str
    folder: Path

    def operator(self, **environment: str) -> OperatorProcess:
        """An operator of this namespace behind the proxy, not yet started."""
        return OperatorProcess(
            self.folder, self.proxy.kubeconfig(self.folder / "proxy.yaml"), [self.namespace], **environment
        )

    def service(self, name: str = "echo", **spec: Any) -> Object:
        """Applies a ModelService of tools that name the service `model`."""
        tools = {"builtIn": ["clock"], "modelRef": {"name": "model"}}
        engine = {} if {"rag", "llamaCpp", "openAI"} & spec.keys() else {"tools": tools}
        return self.apply("ModelService", name, {"capabilities": ["clock"], **engine, **NOWHERE, **spec})

    def workflow(self, name: str = "flow", **spec: Any) -> Object:
        """Applies an AgentWorkflow of one step."""
        steps = [{"name": "look", "role": "clerk", "capability": "clock", "instructions": "Look."}]
        wanted = {"pattern": "linear", "steps": steps, "arbitrator": {"modelRef": {"name": "model"}}}
        return self.apply("AgentWorkflow", name, wanted | NOWHERE | spec)

    def apply(self, kind: str, name: str, spec: Any) -> Object:
        manifest = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
        return self.cluster.apply(manifest, self.namespace)

    def get(self, kind: str, name: str) -> Object:
        return self.cluster.get(kind, name, self.namespace)

    def wait(self, kind: str, name: str, within: float = 30) -> Object:
        """The object, once it is there."""
        found = eventually(f"{kind} {name} exists", lambda: self.find(kind, name), within=within)
        assert found is not None
        return found

    def find(self, kind: str, name: str) -> Object | None:
        return self.cluster.find(kind, name, self.namespace)

    def wait_gone(self, kind: str, name: str, within: float = 60) -> None:
        eventually(f"{kind} {name} is gone", lambda: self.find(kind, name), lambda seen: seen is None, within=within)

    def condition(self, kind: str, name: str, type_: str, status: str, message: str = "", within: float = 30) -> Object:
        """The condition once it is so."""

        def good(seen: Object) -> bool:
            return seen.get("status") == status and message in f"{seen.get('reason')}: {seen.get('message', '')}"

        def look() -> Object:
            conditions = self.get(kind, name).get("status", {}).get("conditions", [])
            return next((each for each in conditions if each["type"] == type_), {})

        return eventually(f"{kind} {name} is {type_}={status} with {message!r}", look, good, within=within)

    def grant(self, without: Sequence[tuple[str, str]] = ()) -> None:
        """Sets the role to the operator's permissions, less some of (API group, resource)."""
        rules = [
            {"apiGroups": [rule.api_group], "resources": [rule.resource], "verbs": list(rule.verbs)}
            for rule in RULES
            if (rule.api_group, rule.resource) not in without
        ]
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": NAME},
            "rules": rules,
        }
        self.cluster.apply(role, self.namespace)
        # The API server hears of a changed role a moment later than of the role itself.
        for group, resource in without or [("apps", "deployments")]:
            eventually(
                f"the rights to {resource} are as granted",
                lambda group=group, resource=resource: self._may_patch(group, resource),
                lambda allowed: allowed != bool(without),
                within=30,
            )

    def _may_patch(self, group: str, resource: str) -> bool:
        asked = {"namespace": self.namespace, "group": group, "resource": resource, "verb": "patch"}
        spec = {"user": f"system:serviceaccount:{self.namespace}:{NAME}", "resourceAttributes": asked}
        reviews = client.AuthorizationV1Api(self.cluster.api)
        return bool(reviews.create_subject_access_review({"spec": spec}).status.allowed)


@contextmanager
def world(cluster: Cluster, folder: Path) -> Iterator[World]:
    """A namespace with the operator's service account; everything the proxy passes is done in its name."""
    namespace = f"mp-operator-{secrets.token_hex(3)}"
    cluster.core.create_namespace({"metadata": {"name": namespace}})
    try:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME}}
        cluster.apply(account, namespace)
        subject = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME}
        binding = {"kind": "RoleBinding", "metadata": {"name": NAME}, "roleRef": reference, "subjects": [subject]}
        cluster.apply({"apiVersion": "rbac.authorization.k8s.io/v1", **binding}, namespace)
        request = {"spec": {"expirationSeconds": 7200, "audiences": []}}
        token = cluster.core.create_namespaced_service_account_token(NAME, namespace, request).status.token
        with Proxy(token) as proxy:
            made = World(cluster, proxy, namespace, folder)
            made.grant()
            yield made
    finally:
        try:
            cluster.core.delete_namespace(namespace, body=client.V1DeleteOptions(grace_period_seconds=0))
        except ApiException as error:
            if error.status != 404:
                raise
