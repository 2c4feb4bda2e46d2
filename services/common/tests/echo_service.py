"""A service for the tests: says the prompt back word by word; a process of its own when run as a script."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.registry.v1 import registry_pb2
from milepost_service.call_memory import CallMemory
from milepost_service.errors import ConfigurationError, ProcessMustEnd, ResourceExhaustedError
from milepost_service.server import SayReady, run, serve
from milepost_service.servicer import cancel_call
from milepost_service.settings import ServiceSettings
from milepost_service.usage import Load, UsageMeter


class EchoServicer(capability_pb2_grpc.CapabilityServiceServicer):
    def __init__(self, calls: CallMemory) -> None:
        self._calls = calls
        self.meter = UsageMeter(lambda: Load(active=calls.active))
        self.cancelled = asyncio.Event()

    async def Describe(self, request: Any, context: Any) -> capability_pb2.DescribeResponse:
        return capability_pb2.DescribeResponse(name="echo", engine=context.peer())

    async def Invoke(self, request: Any, context: Any) -> AsyncIterator[capability_pb2.InvokeResponse]:
        if request.prompt == "full":
            raise ResourceExhaustedError("the queue is full", retry_after=1.5)
        try:
            while request.prompt == "flood":
                yield capability_pb2.InvokeResponse(delta="x" * 1_000_000)
            for word in request.prompt.split():
                await asyncio.sleep(10 if word == "hang" else 0.3 if word == "wait" else 0)
                yield capability_pb2.InvokeResponse(delta=word)
        finally:
            self.cancelled.set()
        yield capability_pb2.InvokeResponse(result=capability_pb2.InvokeResult(text=request.prompt))

    async def ListCalls(self, request: Any, context: Any) -> capability_pb2.ListCallsResponse:
        return self._calls.log.response()

    async def CancelCall(self, request: Any, context: Any) -> capability_pb2.CancelCallResponse:
        return cancel_call(self._calls, request, context)

    async def GetUsage(self, request: Any, context: Any) -> capability_pb2.GetUsageResponse:
        return capability_pb2.GetUsageResponse(usage=self.meter.read())


async def main() -> None:
    calls = CallMemory()

    async def start() -> None:
        if os.environ.get("ECHO_START") == "fail":
            raise ConfigurationError("model.gguf: is not a GGUF file")
        if gate := os.environ.get("ECHO_GATE"):
            await asyncio.to_thread(Path(gate).read_text)  # a FIFO: blocks until the test opens it

    async def drain() -> None:
        if gate := os.environ.get("ECHO_DRAIN"):
            await asyncio.to_thread(Path(gate).read_text)

    async def attend(say: SayReady) -> None:
        """Does what it is told through a FIFO, one word a line; no thread waits there, which could not be cancelled."""
        await say(ready=True)
        orders = asyncio.StreamReader()
        fifo = os.fdopen(os.open(os.environ["ECHO_ATTEND"], os.O_RDWR | os.O_NONBLOCK), "rb")  # writes: it never ends
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), fifo)
        while word := (await orders.readline()).decode().strip():
            if word == "end":
                raise ProcessMustEnd("another process took over")
            await say(ready=word == "ready")

    await serve(
        ServiceSettings.load(),
        name="echo",
        add_servicers=lambda server: capability_pb2_grpc.add_CapabilityServiceServicer_to_server(
            EchoServicer(calls), server
        ),
        start=start,
        drain=drain,
        attend=attend if "ECHO_ATTEND" in os.environ else None,
        calls=calls,
        registration=lambda: registry_pb2.Service(name="echo", target="127.0.0.1:1", capabilities=["general"]),
    )


if __name__ == "__main__":
    run(main(), name="echo")
