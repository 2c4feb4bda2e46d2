"""The agent's registry against a real API server: list, watch, labels, least rights and their absence."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import pytest
from kubernetes import client

from e2e_cluster import Cluster
from milepost_agent.clients import HealthMonitor, ServiceClients
from milepost_agent.registry import Registry
from milepost_agent.registry_kubernetes import KubernetesRegistry
from milepost_service.kubernetes.access import ApiAccess

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="KUBECONFIG names no cluster"),
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),  # a throw-away cluster may have no certificate
    pytest.mark.requirement("REG-1", "RTR-2"),
]
ACCOUNT = "agent"


@pytest.fixture
def core(cluster: Cluster) -> client.CoreV1Api:
    return cluster.core


@pytest.fixture
def namespace(core: client.CoreV1Api) -> Iterator[str]:
    name = f"registry-{uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    core.create_namespaced_service_account(name, {"metadata": {"name": ACCOUNT}})
    yield name
    core.delete_namespace(name)


def allow(core: client.CoreV1Api, namespace: str) -> None:
    """The rights that the operator gives an agent."""
    rights = client.RbacAuthorizationV1Api(core.api_client)
    rule = {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]}
    rights.create_namespaced_role(namespace, {"metadata": {"name": ACCOUNT}, "rules": [rule]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT}
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}
    binding = {"metadata": {"name": ACCOUNT}, "roleRef": reference, "subjects": [subject]}
    rights.create_namespaced_role_binding(namespace, binding)


def service(name: str, *capabilities: str) -> dict[str, Any]:
    labels = {f"capability.milepost.dev/{tag}": "true" for tag in capabilities}
    return {
        "metadata": {
            "name": name,
            "labels": labels | {"milepost.dev/registry": "true"},
            "annotations": {"milepost.dev/capabilities": json.dumps(capabilities), "milepost.dev/description": name},
        },
        "spec": {"ports": [{"name": "grpc", "port": 50052}]},
    }


def certificate_of_the_cluster(core: client.CoreV1Api, namespace: str) -> str:
    """What a pod of the namespace gets as ca.crt; a new namespace has it after a moment."""
    give_up = monotonic() + 30
    while True:
        try:
            return str(core.read_namespaced_config_map("kube-root-ca.crt", namespace).data["ca.crt"])
        except client.ApiException:
            assert monotonic() < give_up
            sleep(0.1)


@asynccontextmanager
async def registry(core: client.CoreV1Api, namespace: str, folder: Path) -> AsyncIterator[Registry]:
    """A registry that watches as the service account, through its token and the cluster's certificate."""
    request = {"spec": {"expirationSeconds": 600}}
    token = core.create_namespaced_service_account_token(ACCOUNT, namespace, request).status.token
    (folder / "token").write_text(token)
    (folder / "ca.crt").write_text(certificate_of_the_cluster(core, namespace))
    host = client.Configuration.get_default_copy().host
    access = ApiAccess(host, namespace, folder / "token", folder / "ca.crt")
    known, clients = Registry(), ServiceClients()
    watcher = KubernetesRegistry(access, known, HealthMonitor(known, clients))
    watcher.start()
    try:
        yield known
    finally:
        await watcher.stop()
        await clients.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 -- nobody tells a test
            await asyncio.sleep(0.05)


async def test_the_registry_follows_labelled_services_with_the_least_rights(
    core: client.CoreV1Api, namespace: str, tmp_path: Path
) -> None:
    allow(core, namespace)
    core.create_namespaced_service(namespace, service("coder", "coding"))
    core.create_namespaced_service(namespace, {"metadata": {"name": "other"}, "spec": {"ports": [{"port": 1}]}})
    async with registry(core, namespace, tmp_path) as known:

        def names() -> list[str]:
            return [entry.name for entry in known.entries()]

        await until(lambda: names() == ["coder"])
        coder = known.get("coder")
        assert coder is not None
        assert (coder.target, coder.capabilities) == (f"coder.{namespace}.svc:50052", ("coding",))
        await asyncio.to_thread(core.create_namespaced_service, namespace, service("search", "rag"))
        await until(lambda: names() == ["coder", "search"])
        without = {"metadata": {"labels": {"milepost.dev/registry": None}}}
        await asyncio.to_thread(core.patch_namespaced_service, "coder", namespace, without)
        await until(lambda: names() == ["search"])
        again = {"metadata": {"labels": {"milepost.dev/registry": "true"}}}
        await asyncio.to_thread(core.patch_namespaced_service, "coder", namespace, again)
        await until(lambda: names() == ["coder", "search"])
        await asyncio.to_thread(core.delete_namespaced_service, "search", namespace)
        await until(lambda: names() == ["coder"])


async def test_rights_that_come_late_are_waited_for_and_their_absence_is_said(
    core: client.CoreV1Api, namespace: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    core.create_namespaced_service(namespace, service("coder", "coding"))
    async with registry(core, namespace, tmp_path) as known:
        await until(lambda: "cannot list resource" in caplog.text)
        assert known.entries() == []
        await asyncio.to_thread(allow, core, namespace)
        await until(lambda: [entry.name for entry in known.entries()] == ["coder"])
