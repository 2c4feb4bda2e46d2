"""Asking a real gRPC server what it serves, and whom a change of a service concerns."""

import asyncio

import grpc
import pytest
from operator_clock import run_virtual

from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_operator.cache import ResourceKey
from milepost_operator.dependents import Dependents
from milepost_operator.describe import RETRY_SECONDS, Describer, ask_model
from milepost_operator.observation import Description, References

KEY = ResourceKey("ModelService", "ns", "writer")
FLOW = ResourceKey("AgentWorkflow", "ns", "flow")
DOCS = ResourceKey("ModelService", "ns", "docs")


class Model(model_pb2_grpc.ModelServiceServicer):
    async def DescribeModel(self, request: object, context: object) -> model_pb2.DescribeModelResponse:
        return model_pb2.DescribeModelResponse(sha256="ab", context_tokens=2048, threads=2, sequences=3, size_bytes=9)


async def test_a_model_says_what_it_serves() -> None:
    server = grpc.aio.server()
    model_pb2_grpc.add_ModelServiceServicer_to_server(Model(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    found = await ask_model(f"127.0.0.1:{port}")
    await server.stop(0)
    assert found is not None
    assert (found.digest, found.context_tokens, found.sequences, found.threads) == ("sha256:ab", 2048, 3, 2)
    assert found.weights_bytes == 9


async def test_one_that_does_not_answer_says_nothing() -> None:
    assert await ask_model("127.0.0.1:1") is None


@pytest.mark.requirement("OPR-5")
def test_one_that_does_not_answer_is_asked_ever_more_rarely() -> None:
    async def story() -> None:
        asked: list[float] = []
        loop = asyncio.get_running_loop()

        async def ask(target: str) -> Description | None:
            asked.append(loop.time())
            return None

        describer = Describer(lambda key: None, ask)
        for _ in range(3600):
            describer.want(KEY, ("uid", 1), "target")
            await asyncio.sleep(1)
        assert 3 <= len(asked) <= 7
        assert asked[1] - asked[0] >= RETRY_SECONDS
        describer.want(KEY, ("uid", 2), "target")
        await asyncio.sleep(1)
        count = len(asked)
        describer.forget(KEY)
        describer.want(KEY, ("uid", 2), "target")
        await asyncio.sleep(1)
        assert len(asked) == count + 1

    run_virtual(story())


def service(ready: str, *, uid: str = "a", capabilities: tuple[str, ...] = ("coding",)) -> dict[str, object]:
    condition = {"type": "Ready", "status": ready, "reason": "Because"}
    status = {"conditions": [condition], "capabilities": list(capabilities)}
    return {"metadata": {"uid": uid, "generation": 1}, "spec": {"capabilities": ["coding"]}, "status": status}


def test_a_change_of_a_service_concerns_exactly_those_that_depend_on_it() -> None:
    dependents = Dependents()
    dependents.note(FLOW, References(services=frozenset({"writer"}), capabilities=frozenset({"coding"})))
    dependents.note(DOCS, References(services=frozenset({"writer"})))
    dependents.note(ResourceKey("ModelService", "ns", "alone"), References())
    dependents.note(ResourceKey("AgentWorkflow", "elsewhere", "flow"), References(services=frozenset({"writer"})))
    assert dependents.affected(KEY, service("False")) == {FLOW, DOCS}
    assert dependents.affected(KEY, service("False")) == frozenset()
    assert dependents.affected(KEY, service("True")) == {FLOW, DOCS}
    assert dependents.affected(KEY, service("True", capabilities=())) == {FLOW, DOCS}
    assert dependents.affected(ResourceKey("ModelService", "ns", "other"), service("True")) == {FLOW}
    dependents.note(DOCS, References())
    assert dependents.affected(KEY, None) == {FLOW}
    dependents.forget(FLOW)
    assert dependents.affected(KEY, service("True")) == frozenset()
