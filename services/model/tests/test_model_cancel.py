"""A cancelled generation stops: by the service's own count of tokens."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_service.channels import open_channel
from milepost_service.metadata import call_metadata
from milepost_service.testing import ServiceProcess

pytestmark = [pytest.mark.models, pytest.mark.requirement("AGT-3")]
OWNER = "6b1f3c86-2f0e-4f43-9d57-0d8a6a3d6f10"
CANCEL_SECONDS = 2.0
LONG = 1_800
PROMPT = "Tell a long story."
CALLER = f"""
import grpc, sys
from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_service.metadata import call_metadata
stub = model_pb2_grpc.ModelServiceStub(grpc.insecure_channel(sys.argv[1]))
request = model_pb2.GenerateRequest(prompt="{PROMPT}", sampling=model_pb2.Sampling(max_tokens={LONG}))
for _ in stub.Generate(request, timeout=120, metadata=call_metadata(call_id="killed/0", owner="{OWNER}", epoch=1)):
    print("token", flush=True)
"""


class Service:
    """The model process as two clients see it: one that generates, one that looks and cancels."""

    def __init__(self, generating: grpc.aio.Channel, looking: grpc.aio.Channel) -> None:
        self._model = model_pb2_grpc.ModelServiceStub(generating)
        self._capability = capability_pb2_grpc.CapabilityServiceStub(looking)

    def generate(self, call_id: str = "", *, prompt: str = PROMPT, max_tokens: int = LONG) -> Any:
        request = model_pb2.GenerateRequest(prompt=prompt, sampling=model_pb2.Sampling(max_tokens=max_tokens))
        metadata = call_metadata(call_id=call_id, owner=OWNER, epoch=1, linger=60 if call_id else 0)
        return self._model.Generate(request, timeout=120, metadata=metadata)

    async def count(self, fact: str) -> float:
        described = await self._capability.Describe(capability_pb2.DescribeRequest(), timeout=60)
        return float(described.details[fact])

    async def cancel(self, call_id: str) -> bool:
        request = capability_pb2.CancelCallRequest(call_id=call_id)
        metadata = call_metadata(owner=OWNER, epoch=1)
        return bool((await self._capability.CancelCall(request, timeout=60, metadata=metadata)).found)

    async def allowed(self) -> float:
        """Tokens that this service draws within the seconds that a cancel may take; at least a few."""
        await self._finish(16)
        return max(20.0, CANCEL_SECONDS * await self.count("tokensPerSecond"))

    async def drawn_from_now_on(self) -> float:
        """Tokens that are still drawn for others until the model has got around to another request."""
        before = await self.count("generatedTokens")
        await self._finish(2)
        return await self.count("generatedTokens") - before - 2

    async def _finish(self, tokens: int) -> None:
        *_, last = [each async for each in self.generate(prompt="Name three colours.", max_tokens=tokens)]
        assert last.result.completion_tokens == tokens


@pytest.fixture
async def service(model_service: ServiceProcess) -> AsyncIterator[Service]:
    async with open_channel(model_service.target) as one, open_channel(model_service.target) as other:
        yield Service(one, other)


async def test_no_token_is_drawn_after_the_caller_has_cancelled(service: Service) -> None:
    allowed = await service.allowed()
    call = service.generate()
    await call.read()
    call.cancel()
    assert await service.drawn_from_now_on() <= allowed


async def test_no_token_is_drawn_after_cancel_call_by_another_connection(service: Service) -> None:
    call = service.generate("cancelled/0")
    await call.read()
    assert await service.cancel("cancelled/0")
    assert await service.drawn_from_now_on() <= 3
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        _ = [each async for each in call]
    assert ended.value.code() == grpc.StatusCode.CANCELLED


async def test_cancel_call_stops_what_lingers_without_its_caller(service: Service) -> None:
    call = service.generate("lingers/0")
    await call.read()
    call.cancel()
    await _until_more(service, "generatedTokens", await service.count("generatedTokens") + 10)
    assert await service.cancel("lingers/0")
    assert await service.drawn_from_now_on() <= 3


async def test_a_request_that_waits_in_the_queue_is_cancelled_while_the_other_goes_on(service: Service) -> None:
    running = service.generate("running/0")
    await running.read()
    waiting = service.generate("waiting/0")
    await _until_more(service, "waiting", 1)
    assert await service.cancel("waiting/0")
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        _ = [each async for each in waiting]
    assert ended.value.code() == grpc.StatusCode.CANCELLED
    assert await service.count("waiting") == 0
    await _until_more(service, "generatedTokens", await service.count("generatedTokens") + 10)
    assert await service.cancel("running/0")
    assert await service.drawn_from_now_on() <= 3


async def test_a_long_prompt_that_is_cancelled_is_not_computed_to_its_end(service: Service) -> None:
    before = await service.count("prefilledTokens")
    call = service.generate("long/0", prompt="word " * LONG, max_tokens=200)
    await _until_more(service, "prefilledTokens", before + 1)
    assert await service.cancel("long/0")
    assert await service.drawn_from_now_on() <= 0
    assert await service.count("prefilledTokens") - before < LONG
    call.cancel()


async def test_no_token_is_drawn_after_the_caller_was_killed(service: Service, model_service: ServiceProcess) -> None:
    allowed = await service.allowed()
    with subprocess.Popen([sys.executable, "-c", CALLER, model_service.target], stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        await asyncio.to_thread(caller.stdout.readline)
        caller.kill()
        assert caller.wait(30) == -signal.SIGKILL
    assert await service.drawn_from_now_on() <= allowed


async def _until_more(service: Service, fact: str, least: float) -> None:
    async with asyncio.timeout(60):
        while await service.count(fact) < least:
            await asyncio.sleep(0.005)
