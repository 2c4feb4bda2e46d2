"""A real gRPC server over a call memory, with a servicer whose work waits for the test."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_service.call_memory import CallMemory, CallMemoryInterceptor
from milepost_service.correlation import current_correlation_id
from milepost_service.errors import ResourceExhaustedError
from milepost_service.fencing import Fence, FenceInterceptor
from milepost_service.interceptors import StatusInterceptor, TraceInterceptor
from milepost_service.metadata import call_metadata
from milepost_service.model_client import ModelClient
from milepost_service.servicer import cancel_call
from milepost_service.usage import Load, UsageMeter

OWNER = "6b1f3c86-2f0e-4f43-9d57-0d8a6a3d6f10"
OTHER_OWNER = "0c7e5b1e-7a4f-4a3a-8a55-2a6a0c0f7b21"


class Patient(capability_pb2_grpc.CapabilityServiceServicer, model_pb2_grpc.ModelServiceServicer):
    """Says the prompt back word by word; at the word `gate` it waits until the test opens the gate."""

    def __init__(self, calls: CallMemory, model: ModelClient | None = None) -> None:
        self.calls = calls
        self.meter = UsageMeter(lambda: Load(active=calls.active))
        self.model = model
        self.gate = asyncio.Event()
        self.full = False
        self.begun: dict[str, int] = defaultdict(int)
        self.closed: asyncio.Queue[str] = asyncio.Queue()
        self.correlation_ids: list[str] = []

    async def Invoke(self, request: Any, context: Any) -> AsyncIterator[capability_pb2.InvokeResponse]:
        self.begun[request.prompt] += 1
        self.correlation_ids.append(current_correlation_id())
        try:
            if self.full:
                raise ResourceExhaustedError("the queue is full", retry_after=1.5)
            for word in request.prompt.split():
                if word == "gate":
                    await self.gate.wait()
                yield capability_pb2.InvokeResponse(delta=word)
            if self.model:
                await self.model.choose([("user", request.prompt)], ["a", "b"], timeout=context.time_remaining() or 60)
            yield capability_pb2.InvokeResponse(result=capability_pb2.InvokeResult(text=request.prompt))
        finally:
            self.closed.put_nowait(request.prompt)

    async def ListCalls(self, request: Any, context: Any) -> capability_pb2.ListCallsResponse:
        return self.calls.log.response()

    async def CancelCall(self, request: Any, context: Any) -> capability_pb2.CancelCallResponse:
        return cancel_call(self.calls, request, context)

    async def GetUsage(self, request: Any, context: Any) -> capability_pb2.GetUsageResponse:
        return capability_pb2.GetUsageResponse(usage=self.meter.read())

    async def Score(self, request: Any, context: Any) -> model_pb2.ScoreResponse:
        self.begun[request.prompt] += 1
        try:
            if request.chat.messages or request.prompt == "gate":
                await self.gate.wait()
            return model_pb2.ScoreResponse(candidates=[model_pb2.ScoredCandidate(candidate="a")] * 2)
        finally:
            self.closed.put_nowait(request.prompt)


class Client:
    """Calls of one owner and epoch over a connection of their own."""

    def __init__(self, channel: grpc.aio.Channel, owner: str = "", epoch: int | None = None) -> None:
        self._channel = channel
        self._who = {"owner": owner, "epoch": epoch}

    def of(self, owner: str, epoch: int) -> "Client":
        return Client(self._channel, owner, epoch)

    def invoke(self, call_id: str, prompt: str, *, linger: float = 0.0, timeout: float = 60.0) -> Any:
        stub = capability_pb2_grpc.CapabilityServiceStub(self._channel)
        metadata = self._metadata(call_id, linger)
        return stub.Invoke(capability_pb2.InvokeRequest(prompt=prompt), timeout=timeout, metadata=metadata)

    def score(self, call_id: str, prompt: str, *, linger: float = 0.0) -> Any:
        stub = model_pb2_grpc.ModelServiceStub(self._channel)
        request = model_pb2.ScoreRequest(prompt=prompt, candidates=["a"])
        return stub.Score(request, timeout=60, metadata=self._metadata(call_id, linger))

    async def cancel(self, call_id: str) -> bool:
        stub = capability_pb2_grpc.CapabilityServiceStub(self._channel)
        request = capability_pb2.CancelCallRequest(call_id=call_id)
        return bool((await stub.CancelCall(request, timeout=60, metadata=self._metadata("", 0))).found)

    async def counts(self) -> dict[str, tuple[int, int, int]]:
        """(requested, started, completed) by call id."""
        stub = capability_pb2_grpc.CapabilityServiceStub(self._channel)
        listed = await stub.ListCalls(capability_pb2.ListCallsRequest(), timeout=60)
        return {call.call_id: (call.requested, call.started, call.completed) for call in listed.calls}

    def _metadata(self, call_id: str, linger: float) -> Any:
        return call_metadata(call_id=call_id, linger=linger, **self._who)  # type: ignore[arg-type] # as given above


@asynccontextmanager
async def serving(servicer: Patient) -> AsyncIterator[str]:
    """The target of a server with the interceptors of `serve`; its work is stopped at the end."""
    server = grpc.aio.server(
        interceptors=[
            TraceInterceptor(),
            StatusInterceptor(),
            FenceInterceptor(Fence(), servicer.calls.displace),
            CallMemoryInterceptor(servicer.calls),
        ]
    )
    capability_pb2_grpc.add_CapabilityServiceServicer_to_server(servicer, server)
    model_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
        await servicer.calls.close()


async def words(call: Any) -> list[str]:
    """The deltas of a whole answer."""
    responses = [response async for response in call]
    assert responses[-1].result.text == " ".join(response.delta for response in responses[:-1])
    return [response.delta for response in responses[:-1]]
