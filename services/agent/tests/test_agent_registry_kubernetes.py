"""The registry follows the labelled Services of a namespace, whatever happens to the API server meanwhile."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubernetes_api import KubernetesApi, kubernetes_api, service
from milepost_agent.clients import HealthMonitor, ServiceClients
from milepost_agent.main import AgentSettings
from milepost_agent.registry import Entry, Registry
from milepost_agent.registry_keeper import RegistryKeeper
from milepost_agent.registry_kubernetes import KubernetesRegistry, entry_of
from milepost_agent.store import Store
from milepost_service.errors import AlreadyExistsError, ConfigurationError, InvalidArgumentError
from milepost_service.kubernetes import reflector
from milepost_service.kubernetes.access import ApiAccess

pytestmark = pytest.mark.requirement("REG-1", "RTR-2")


@dataclass
class World:
    api: KubernetesApi
    registry: Registry
    store: Store
    access: ApiAccess
    watcher: KubernetesRegistry

    def names(self) -> list[str]:
        return [entry.name for entry in self.registry.entries()]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "FIRST_BACKOFF", 0.02)
    monkeypatch.setattr(reflector, "LONGEST_BACKOFF", 0.1)


@asynccontextmanager
async def world(path: Path, *services: dict[str, Any]) -> AsyncIterator[World]:
    """A registry that has seen `services` and watches."""
    (path / "token").write_text("first\n")
    async with kubernetes_api() as api:
        for body in services:
            api.put(body)
        store = await Store.open(path / "milepost.db")
        registry, clients = Registry(), ServiceClients()
        access = ApiAccess(api.url, "team", path / "token", path / "ca.crt")
        watcher = KubernetesRegistry(access, registry, HealthMonitor(registry, clients))
        keeper = RegistryKeeper(registry, store)
        keeper.start()
        watcher.start()
        try:
            await until(lambda: api.watches > 0)
            yield World(api, registry, store, access, watcher)
        finally:
            await watcher.stop()
            registry.end_watches()
            await keeper.stop()
            await clients.close()
            await store.close()


async def test_services_come_from_labels_and_annotations_and_have_no_lease(tmp_path: Path) -> None:
    async with world(tmp_path, service("coder", "coding", "review")) as here:
        path, query = here.api.requests[0]
        assert (path, query["labelSelector"]) == ("/api/v1/namespaces/team/services", "milepost.dev/registry=true")
        assert here.registry.entries() == [
            Entry("coder", "coder.team.svc:50052", ("coding", "review"), "does coder", ("please coder",))
        ]
        here.registry.expire()
        assert here.names() == ["coder"]
        async with asyncio.timeout(60):
            while [row["name"] for row in await here.store.load_services()] != ["coder"]:
                await asyncio.sleep(0.01)


async def test_changes_arrive_without_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path, *(service(name, "rag") for name in ("a", "b", "c"))) as here:
        assert here.names() == ["a", "b", "c"], "the list has two pages"
        here.api.put(service("d", "coding"))
        here.api.put(service("a", "tools"))
        here.api.delete("b")
        await until(lambda: here.names() == ["a", "c", "d"])
        a = here.registry.get("a")
        assert a is not None
        assert a.capabilities == ("tools",)
        async with asyncio.timeout(60):
            while [row["name"] for row in await here.store.load_services()] != ["a", "c", "d"]:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("fault", ["cut", "gone", "ended", "down", "forbidden", "token"])
async def test_what_happens_while_nobody_watches_is_caught_up_with_and_nothing_is_lost_meanwhile(
    tmp_path: Path, fault: str
) -> None:
    async with world(tmp_path, service("kept", "rag"), service("left", "rag")) as here:
        api, before = here.api, len(here.api.requests)
        if fault == "gone":
            api.forget_history()
        elif fault == "ended":
            api.end_watches()
        elif fault == "down":
            await api.stop()
        elif fault == "forbidden":
            api.refusal = (403, "services is forbidden")
            api.cut()
        elif fault == "token":
            api.tokens = {"second"}
            api.cut()
        else:
            api.cut()
        if fault == "down":
            await asyncio.sleep(0.3)
        else:
            await until(lambda: len(api.requests) >= before + 1)
        assert here.names() == ["kept", "left"]
        if fault == "down":
            await api.start()
        api.refusal = None
        (tmp_path / "token").write_text("second" if fault == "token" else "first")
        if fault == "ended":
            await until(lambda: api.watches == 2)
        api.delete("left")
        api.put(service("new", "rag"))
        await until(lambda: here.names() == ["kept", "new"])


async def test_a_watch_that_is_refused_again_and_again_is_no_hot_loop_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "LONGEST_BACKOFF", 60.0)
    async with world(tmp_path, service("coder", "coding")) as here:
        before = here.api.lists
        here.api.refuse_watch = (403, "services is forbidden")
        with caplog.at_level(logging.INFO, logger="milepost_agent.registry_kubernetes"):
            here.api.cut()
            await until(lambda: here.api.lists >= before + 5)
        assert here.watcher._reflector._backoff > 16 * reflector.FIRST_BACKOFF
        refused = [record.getMessage() for record in caplog.records if "forbidden" in record.getMessage()]
        assert refused == [
            "Services of namespace team cannot be watched, 1 stay registered: HTTP 403: services is forbidden"
        ]


async def test_bookmarks_move_the_version_on(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.api.bookmark()
        here.api.oldest = here.api.version
        await asyncio.sleep(0.05)
        here.api.end_watches()
        await until(lambda: here.api.watches == 2)
        assert here.api.requests[-1][1]["resourceVersion"] == str(here.api.version)
        assert here.api.lists == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"annotations": {"milepost.dev/capabilities": "coding"}}, "milepost.dev/capabilities: is not a JSON list"),
        ({"annotations": {"milepost.dev/examples": '{"a": 1}'}}, "milepost.dev/examples: is not a JSON list"),
        ({"annotations": {"milepost.dev/examples": "[" * 100_000}}, "milepost.dev/examples: is not a JSON list"),
        ({"annotations": {"milepost.dev/examples": json.dumps(["x"] * 65)}}, "service.examples: has 65; allowed"),
        ({"annotations": {"milepost.dev/description": "x" * 1025}}, "service: a text has 1025 characters"),
        ({"labels": {"capability.milepost.dev/Code_Review": "true"}}, "'Code_Review' is no tag"),
        ({"labels": {f"capability.milepost.dev/t{n}": "true" for n in range(70)}}, "service.capabilities: has 70"),
        ({"spec": {"ports": []}}, "spec.ports: is empty"),
    ],
)
async def test_a_strangers_service_that_makes_no_sense_is_passed_over_with_one_warning(
    tmp_path: Path, changes: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        entry_of(service("odd", **changes))
    assert said in str(refused.value)
    async with world(tmp_path, service("odd", **changes), service("coder", "coding")) as here:
        here.api.put(service("odd", **changes))
        here.api.put(service("later", "rag"))
        await until(lambda: here.names() == ["coder", "later"])
        warnings = [record for record in caplog.records if "Service odd is passed over" in record.getMessage()]
        assert len(warnings) == 1
        here.api.put(service("odd", "tools"))
        await until(lambda: here.names() == ["coder", "later", "odd"])


@pytest.mark.parametrize(
    ("spec", "target"),
    [
        ({"ports": [{"port": 9000}]}, "x.team.svc:9000"),
        ({"ports": [{"port": 80, "name": "web"}, {"port": 81, "name": "grpc"}]}, "x.team.svc:81"),
        ({"ports": [{"port": 80, "targetPort": 50052}], "clusterIP": "None"}, "x.team.svc:50052"),
        ({"ports": [{"port": 80, "targetPort": "grpc"}], "clusterIP": "None"}, "x.team.svc:80"),
    ],
)
def test_the_port_is_the_one_named_grpc_else_the_first(spec: dict[str, Any], target: str) -> None:
    assert entry_of(service("x", spec=spec)).target == target


async def test_a_registered_service_and_one_of_the_cluster_live_side_by_side(tmp_path: Path) -> None:
    async with world(tmp_path, service("coder", "coding")) as here:
        here.registry.register(Entry("mine", "127.0.0.1:1", ("tools",)))
        with pytest.raises(AlreadyExistsError, match="'coder' is a Service of this cluster"):
            here.registry.register(Entry("coder", "127.0.0.1:2", ("coding",)))
        here.registry.deregister("coder")
        here.api.put(service("other", "rag"))
        await until(lambda: "other" in here.names())
        here.api.cut()
        await until(lambda: here.api.lists == 2)
        assert here.names() == ["coder", "mine", "other"]
        here.registry.deregister("mine")
        assert here.names() == ["coder", "other"]


async def test_a_restarted_agent_keeps_services_of_the_cluster_until_the_api_server_says_otherwise(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, service("coder", "coding")) as here:
        rows = here.registry.rows()
    clock = [0.0]
    registry = Registry(lambda: clock[0])
    registry.restore([*rows, {**rows[0], "name": "registered", "lease_expires": 5.0}], keep_adopted=True)
    clock[0] = 3600.0
    registry.expire()
    assert [(entry.name, entry.healthy) for entry in registry.entries()] == [("coder", False)]
    elsewhere = Registry(lambda: clock[0])
    elsewhere.restore(rows)
    clock[0] = 7200.0
    elsewhere.expire()
    assert elsewhere.entries() == [], "a process that asks no cluster cannot vouch for its Services"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MILEPOST_REGISTRY": "kubernetes"}, "MILEPOST_NAMESPACE: is not set"),
        ({"MILEPOST_REGISTRY": "etcd"}, "MILEPOST_REGISTRY: "),
        ({"MILEPOST_REGISTRY": "kubernetes", "MILEPOST_NAMESPACE": "a/b"}, "MILEPOST_NAMESPACE: "),
        ({"MILEPOST_REGISTRY": "kubernetes", "MILEPOST_NAMESPACE": "team"}, "needs KUBERNETES_SERVICE_HOST"),
    ],
)
def test_a_wrong_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], said: str) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for name, value in {"MILEPOST_WORKFLOW_FILE": "w", "MILEPOST_DATA_DIR": "d", **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        AgentSettings.load().cluster()
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_pod_finds_its_api_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    assert ApiAccess.in_cluster("team", "setting", "grpc").base_url == "https://[fd00::1]:6443"
