"""Which agents a cluster has, from its StatefulSets and pods, also while pods are away."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from milepost_gateway.addresses import AgentAddress
from milepost_gateway.kubernetes_agents import SELECTOR, Key, KubernetesAgents, addresses_of
from milepost_gateway.main import agents_of
from milepost_gateway.settings import GatewaySettings
from milepost_service.errors import ConfigurationError
from milepost_service.kubernetes.access import ApiAccess

Objects = dict[Key, dict[str, Any]]


def stateful_set(name: str, namespace: str = "team", replicas: int | None = 1) -> Objects:
    labels = {"app.kubernetes.io/instance": name}
    spec = {"serviceName": f"{name}-pods"} | ({} if replicas is None else {"replicas": replicas})
    return {(namespace, name): {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": spec}}


def pod(name: str, namespace: str = "team", **status: str) -> Objects:
    return {(namespace, name): {"metadata": {"name": name, "namespace": namespace}, "status": status}}


@pytest.mark.requirement("AGT-1")
def test_each_replica_is_an_agent_at_the_address_of_its_pod() -> None:
    sets = stateful_set("flow", replicas=2) | stateful_set("solo", "other", replicas=None)
    pods = pod("flow-0", podIP="10.0.0.1", phase="Running") | pod("flow-1", podIP="fd00::1", phase="Running")
    assert addresses_of(sets, pods) == [
        AgentAddress("other.solo-0", "solo", "solo-0.solo-pods.other.svc:50051", "other", "solo-0"),
        AgentAddress("team.flow-0", "flow", "10.0.0.1:50051", "team", "flow-0"),
        AgentAddress("team.flow-1", "flow", "[fd00::1]:50051", "team", "flow-1"),
    ]


@pytest.mark.requirement("AGT-1", "AGT-4")
@pytest.mark.parametrize(
    "away",
    [
        {},
        pod("flow-0", phase="Pending"),
        pod("flow-0", podIP="10.0.0.1", phase="Failed"),
        pod("flow-0", podIP="10.0.0.1", phase="Succeeded"),
    ],
    ids=["gone", "not scheduled", "evicted", "ended"],
)
def test_a_pod_that_is_away_stays_an_agent_under_a_name_that_nobody_else_can_get(away: Objects) -> None:
    [agent] = addresses_of(stateful_set("flow"), away)
    assert (agent.agent, agent.target) == ("team.flow-0", "flow-0.flow-pods.team.svc:50051")


@pytest.mark.requirement("AGT-1")
def test_what_is_scaled_down_is_no_agent_any_more_though_its_pod_is_still_there() -> None:
    pods = pod("flow-0", podIP="10.0.0.1") | pod("flow-1", podIP="10.0.0.2") | pod("other-0", podIP="10.0.0.3")
    assert [each.agent for each in addresses_of(stateful_set("flow"), pods)] == ["team.flow-0"]
    assert addresses_of(stateful_set("flow", replicas=0), pods) == []


@pytest.mark.requirement("AGT-1")
def test_agents_are_found_by_the_labels_that_the_operator_gives_them() -> None:
    names = pytest.importorskip("milepost_operator.names")
    wanted = dict(part.split("=") for part in SELECTOR.split(","))
    assert names.object_labels("flow", "agent").items() >= wanted.items()
    assert not names.object_labels("flow", "tools").items() >= wanted.items()


def test_outside_of_a_cluster_it_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigurationError, match="MILEPOST_GATEWAY_DISCOVERY: kubernetes needs KUBERNETES_SERVICE_H"):
        agents_of(GatewaySettings(gateway_discovery="kubernetes"))


class ApiServer:
    """Answers lists and watches of two namespaces from `objects`, as an API server does."""

    def __init__(self, objects: dict[str, list[dict[str, Any]]]) -> None:
        self.objects = objects
        self.watches: dict[str, asyncio.Queue[dict[str, Any]]] = {}

    async def answer(self, request: Request) -> Response:
        path, query = request.url.path, request.query_params
        if path not in self.objects:
            return JSONResponse({"message": "forbidden"}, 403)
        assert query["labelSelector"] == SELECTOR
        if "watch" not in query:
            return JSONResponse({"metadata": {"resourceVersion": "1"}, "items": self.objects[path]})
        queue = self.watches[path] = asyncio.Queue()

        async def events() -> AsyncIterator[str]:
            while True:
                yield json.dumps(await queue.get()) + "\n"

        return StreamingResponse(events())


@contextlib.asynccontextmanager
async def served(api: ApiServer) -> AsyncIterator[str]:
    app = Starlette(routes=[Route("/{path:path}", api.answer)])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=0))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await serving


def versioned(objects: Objects) -> list[dict[str, Any]]:
    return [{**each, "metadata": {**each["metadata"], "resourceVersion": "2"}} for each in objects.values()]


@pytest.mark.requirement("AGT-1")
async def test_agents_of_several_namespaces_are_followed_and_one_that_is_refused_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("milepost_gateway.kubernetes_agents.FIRST_LOOK_SECONDS", 1.0)
    (tmp_path / "token").write_text("token")
    api = ApiServer(
        {
            "/apis/apps/v1/namespaces/a/statefulsets": versioned(stateful_set("flow", "a")),
            "/api/v1/namespaces/a/pods": versioned(pod("flow-0", "a", podIP="10.0.0.1")),
            "/apis/apps/v1/namespaces/b/statefulsets": [],
            "/api/v1/namespaces/b/pods": [],
        }
    )
    async with served(api) as url, asyncio.timeout(60):
        agents = KubernetesAgents(ApiAccess(url, "", tmp_path / "token", tmp_path / "ca"), ["a", "b", "refused"])
        async with contextlib.aclosing(agents.watch()) as lists:
            assert [each.target for each in await anext(lists)] == ["10.0.0.1:50051"]
            place = "/apis/apps/v1/namespaces/b/statefulsets"
            while place not in api.watches:
                await asyncio.sleep(0.01)
            [later] = versioned(stateful_set("later", "b"))
            api.watches[place].put_nowait({"type": "ADDED", "object": later})
            assert [each.agent for each in await anext(lists)] == ["a.flow-0", "b.later-0"]
            [moved] = versioned(pod("flow-0", "a", podIP="10.0.0.2"))
            api.watches["/api/v1/namespaces/a/pods"].put_nowait({"type": "MODIFIED", "object": moved})
            assert (await anext(lists))[0].target == "10.0.0.2:50051"
            api.watches[place].put_nowait({"type": "DELETED", "object": later})
            assert [each.agent for each in await anext(lists)] == ["a.flow-0"]
