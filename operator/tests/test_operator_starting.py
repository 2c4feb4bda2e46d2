"""A service whose model is being fetched: it is asked how far that is, and its status says it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from operator_cases import DEFAULTS, NAMESPACE, condition, model, planned, pod, settled
from operator_clock import run_virtual
from operator_server import FakeCluster

from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_operator.cache import Cache, ResourceKey
from milepost_operator.cluster import MODEL_SERVICE, POD
from milepost_operator.dependents import Dependents
from milepost_operator.gather import Gatherer
from milepost_operator.names import object_labels
from milepost_operator.pod_asker import PodAsker
from milepost_operator.reconcile import Reconciler
from milepost_operator.starting import ask_starting, service_target

pytestmark = pytest.mark.requirement("CRD-2", "CRD-6")
KEY = ResourceKey("ModelService", NAMESPACE, "writer")
BY_URL = {"source": {"url": "https://models.example.org/a.gguf", "sha256": "0" * 64}}
HALF = "a.gguf: downloading, 50 % of 4.9 GiB, 12.0 MiB/s, 3 min left"
RUNNING = {"state": {"running": {}}}


def test_the_status_says_how_far_each_pod_is() -> None:
    said = {f"writer-{letter}": HALF for letter in "abcd"}
    pods = [pod(name, container=RUNNING) for name in said]
    resource, observed = settled(model(llamaCpp=BY_URL), ready=0, pods=pods, starting=said)
    status = planned(resource, observed).status
    loaded = condition(status, "ModelLoaded")
    assert (loaded["status"], loaded["reason"]) == ("False", "Fetching")
    assert loaded["message"] == "; ".join(f"pod writer-{letter}: {HALF}" for letter in "abc")
    assert condition(status, "Ready")["reason"] == "Starting"
    assert condition(status, "Degraded")["status"] == "False"


def test_what_is_wrong_goes_before_how_far_it_is() -> None:
    ended = {"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 2, "message": "no such file"}}}
    resource, observed = settled(
        model(llamaCpp=BY_URL), ready=0, pods=[pod("writer-a", container=ended)], starting={"writer-a": HALF}
    )
    loaded = condition(planned(resource, observed).status, "ModelLoaded")
    assert (loaded["reason"], loaded["message"]) == ("ProcessRefused", "no such file")


@pytest.mark.parametrize(
    ("status", "target"),
    [({"podIP": "10.1.2.3"}, "10.1.2.3:50052"), ({"podIP": "fd00::7"}, "[fd00::7]:50052"), ({}, "")],
)
def test_a_service_is_asked_at_the_address_of_its_pod(status: Any, target: str) -> None:
    assert service_target(KEY, {"metadata": {"name": "writer-a"}, "status": status}) == target


class Starting(model_pb2_grpc.ModelServiceServicer):
    """A service that has no answer yet."""

    def __init__(self, details: str) -> None:
        self.details = details

    async def DescribeModel(self, request: Any, context: Any) -> Any:
        if self.details:
            await context.abort(grpc.StatusCode.UNAVAILABLE, self.details)
        return model_pb2.DescribeModelResponse()


@pytest.mark.parametrize(
    ("details", "said"),
    [(f"writer is starting: {HALF}", HALF), ("writer is starting", ""), ("something else", ""), ("", "")],
)
async def test_what_it_answers_to_calls_is_what_it_is_busy_with(details: str, said: str) -> None:
    server = grpc.aio.server()
    model_pb2_grpc.add_ModelServiceServicer_to_server(Starting(details), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    assert await ask_starting(f"127.0.0.1:{port}") == said
    await server.stop(0)


class World:
    """A reconciler with one service whose pod runs and is not ready."""

    def __init__(self, **spec: Any) -> None:
        self.cache = Cache()
        self.cluster = FakeCluster(self.cache)
        self.asked: list[str] = []
        self.reconciler = Reconciler(
            self.cluster,
            self.cache,
            gatherer=Gatherer(self.cluster, self.cache),
            dependents=Dependents(),
            describer=None,
            stores=None,
            starts=PodAsker(lambda key: None, self.ask, service_target),
            defaults=DEFAULTS,
            now=lambda: datetime(2026, 11, 23, 12, tzinfo=UTC),
        )
        metadata = {"name": "writer", "namespace": NAMESPACE, "uid": "writer", "generation": 1}
        body = model(**spec).model_dump(mode="json", by_alias=True, exclude_none=True)
        self.cluster.put(MODEL_SERVICE, body | {"metadata": metadata})
        found = pod("writer-a", container=RUNNING | {"ready": False}, phase="Running")
        labels = object_labels("writer", "model")
        found = {**found, "metadata": found["metadata"] | {"labels": labels, "uid": "pod"}}
        self.cluster.put(POD, found | {"status": found["status"] | {"podIP": "10.1.2.3"}})

    async def ask(self, target: str) -> str:
        self.asked.append(target)
        return HALF

    async def reconcile(self) -> str:
        """Reason of the condition ModelLoaded, after a pass and the answers to what it asked."""
        await self.reconciler.reconcile(KEY)
        await asyncio.sleep(0.01)
        return str(
            condition(self.cluster.objects[MODEL_SERVICE, NAMESPACE, "writer"]["status"], "ModelLoaded")["reason"]
        )


def test_only_a_service_that_fetches_is_asked_and_what_it_says_is_stored() -> None:
    async def story() -> None:
        world = World(llamaCpp=BY_URL)
        assert await world.reconcile() == "Loading"
        assert await world.reconcile() == "Fetching"
        assert world.asked == ["10.1.2.3:50052"]
        carried = World()
        assert await carried.reconcile() == await carried.reconcile() == "Loading"
        assert carried.asked == []

    run_virtual(story())
