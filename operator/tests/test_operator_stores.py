"""An agent that cannot write: it is asked, seldom, and its workflow says what is wrong and what to do."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from operator_cases import DEFAULTS, NAMESPACE, condition, planned, pod, settled, workflow
from operator_clock import run_virtual
from operator_server import FakeCluster

from milepost.agent.v1 import agent_pb2
from milepost_operator.cache import Cache, ResourceKey
from milepost_operator.cluster import AGENT_WORKFLOW, POD
from milepost_operator.dependents import Dependents
from milepost_operator.gather import Gatherer
from milepost_operator.names import object_labels
from milepost_operator.pod_asker import AGAIN_SECONDS, PodAsker
from milepost_operator.reconcile import Reconciler
from milepost_operator.stores import agent_target, ask_agent

pytestmark = pytest.mark.requirement("DUR-6", "OPR-4")
KEY = ResourceKey("AgentWorkflow", NAMESPACE, "review")
FULL = "/data/milepost.db: cannot write: database or disk is full"
BROKEN = "/data/milepost.db: cannot write: disk I/O error (Input/output error)"
RUNNING = {"state": {"running": {}}}


def test_a_workflow_whose_agent_cannot_write_says_which_why_and_what_to_do() -> None:
    before, after = settled(
        workflow(), ready=0, pods=[pod("review-0", container=RUNNING)], unwritable={"review-0": FULL}
    )
    status = planned(before, after).status
    ready = condition(status, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "StoreUnwritable")
    assert ready["message"] == (
        f"pod review-0: {FULL}; enlarge spec.checkpoint.storage.size, or free space on the volume; "
        "the runs go on by themselves then"
    )
    for other, truth in (("Degraded", "True"), ("CheckpointStoreReady", "False"), ("Progressing", "False")):
        assert (condition(status, other)["status"], condition(status, other)["reason"]) == (truth, "StoreUnwritable")


def test_a_disk_that_fails_is_no_reason_to_enlarge_it() -> None:
    before, after = settled(
        workflow(), ready=0, pods=[pod("review-0", container=RUNNING)], unwritable={"review-0": BROKEN}
    )
    message = condition(planned(before, after).status, "Ready")["message"]
    assert BROKEN in message and "kubectl describe pvc" in message and "enlarge" not in message


def test_what_a_container_died_of_before_does_not_hide_it() -> None:
    died = RUNNING | {"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    before, after = settled(workflow(), ready=0, pods=[pod("review-0", container=died)], unwritable={"review-0": FULL})
    assert condition(planned(before, after).status, "Ready")["reason"] == "StoreUnwritable"


def test_one_that_is_ready_again_has_nothing_left_of_it() -> None:
    resource, observed = settled(workflow(), pods=[pod("review-0", container=RUNNING | {"ready": True})])
    status = planned(resource, observed).status
    assert (condition(status, "Ready")["status"], condition(status, "Degraded")["status"]) == ("True", "False")


async def say(request: Any, context: Any) -> agent_pb2.GetAgentResponse:
    return agent_pb2.GetAgentResponse(store=agent_pb2.StoreStatus(failure=FULL))


async def test_an_agent_is_asked_by_its_own_api() -> None:
    server = grpc.aio.server()
    codec = agent_pb2.GetAgentRequest.FromString, agent_pb2.GetAgentResponse.SerializeToString
    methods = {"GetAgent": grpc.unary_unary_rpc_method_handler(say, *codec)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("milepost.agent.v1.AgentService", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    assert await ask_agent(f"127.0.0.1:{port}") == FULL
    await server.stop(0)
    assert await ask_agent("127.0.0.1:1") == ""


class World:
    """A reconciler with one workflow whose pod runs, and an agent in it that can be asked."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.cluster = FakeCluster(self.cache)
        self.told: list[ResourceKey] = []
        self.asked: list[str] = []
        self.failure = FULL
        self.reconciler = Reconciler(
            self.cluster,
            self.cache,
            gatherer=Gatherer(self.cluster, self.cache),
            dependents=Dependents(),
            describer=None,
            stores=PodAsker(self.told.append, self.ask, agent_target),
            defaults=DEFAULTS,
            now=lambda: datetime(2026, 11, 23, 12, tzinfo=UTC),
        )
        metadata = {"name": "review", "namespace": NAMESPACE, "uid": "review", "generation": 1}
        body = workflow().model_dump(mode="json", by_alias=True, exclude_none=True)
        self.cluster.put(AGENT_WORKFLOW, body | {"metadata": metadata})

    async def ask(self, target: str) -> str:
        self.asked.append(target)
        return self.failure

    def pod(self, *, ready: bool) -> None:
        labels = object_labels("review", "agent")
        found = pod("review-0", container=RUNNING | {"ready": ready}, phase="Running")
        self.cluster.put(POD, {**found, "metadata": found["metadata"] | {"labels": labels, "uid": "pod"}})

    async def reconcile(self) -> str:
        """Reason of the condition Ready, after a pass and the answers to what it asked."""
        await self.reconciler.reconcile(KEY)
        await asyncio.sleep(0.01)
        stored = self.cluster.objects[AGENT_WORKFLOW, NAMESPACE, "review"]["status"]
        return str(condition(stored, "Ready")["reason"])


def test_an_agent_that_is_not_ready_is_asked_seldom_and_its_answer_is_written_once() -> None:
    async def story() -> None:
        world = World()
        world.pod(ready=False)
        await world.reconcile()
        assert world.asked == ["review-0.review-pods.team.svc:50051"]
        assert world.told == [KEY]
        writes = []
        for _ in range(10):
            assert await world.reconcile() == "StoreUnwritable"
            writes.append(len(world.cluster.writes))
        assert len(world.asked) == 1 and writes == [writes[0]] * 10
        await asyncio.sleep(AGAIN_SECONDS)
        assert await world.reconcile() == "StoreUnwritable"
        assert (len(world.asked), world.told) == (2, [KEY])

    run_virtual(story())


def test_an_answer_that_changes_is_told_and_one_of_a_ready_pod_is_forgotten() -> None:
    async def story() -> None:
        world = World()
        world.pod(ready=False)
        await world.reconcile()
        assert await world.reconcile() == "StoreUnwritable"
        world.failure = ""
        await asyncio.sleep(AGAIN_SECONDS)
        await world.reconcile()
        assert world.told == [KEY, KEY]
        assert await world.reconcile() != "StoreUnwritable"
        world.failure = FULL
        await asyncio.sleep(AGAIN_SECONDS)
        await world.reconcile()
        world.pod(ready=True)
        await world.reconcile()
        asked = len(world.asked)
        world.failure = ""
        world.pod(ready=False)
        assert await world.reconcile() != "StoreUnwritable"
        assert len(world.asked) == asked + 1

    run_virtual(story())


def test_agents_that_are_ready_are_never_asked() -> None:
    async def story() -> None:
        world = World()
        world.pod(ready=True)
        for _ in range(5):
            await world.reconcile()
            await asyncio.sleep(AGAIN_SECONDS)
        assert world.asked == []

    run_virtual(story())
