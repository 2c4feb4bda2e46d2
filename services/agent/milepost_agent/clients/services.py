"""gRPC calls to services, each with a call id, a deadline, the correlation id of its run, and who its caller is."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import grpc

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_agent.errors import Displaced, ServiceCallFailed
from milepost_agent.failpoints import failpoint
from milepost_service.channels import open_channel
from milepost_service.metadata import call_metadata

LINGER_SECONDS = 30.0
"""How long a service works on without its caller, which comes back for the answer once it is started anew."""
CANCEL_SECONDS = 1.0
DISPLACED = "is displaced by epoch"


@dataclass(frozen=True)
class CallContext:
    """What travels with a call; `deadline` in seconds since the epoch."""

    call_id: str
    correlation_id: str
    owner_id: str
    epoch: int
    deadline: float
    now: Callable[[], float] = time.time

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return call_metadata(
            call_id=self.call_id,
            correlation_id=self.correlation_id,
            owner=self.owner_id,
            epoch=self.epoch,
            linger=LINGER_SECONDS,
        )

    def canceller(self) -> tuple[tuple[str, str], ...]:
        """The metadata of a call about this call."""
        return call_metadata(correlation_id=self.correlation_id, owner=self.owner_id, epoch=self.epoch)

    def timeout(self) -> float:
        return max(self.deadline - self.now(), 0.0)


class ServiceClients:
    """Channels by target, opened at first use and kept; and the calls that are under way."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._under_way: dict[str, dict[str, tuple[str, CallContext]]] = defaultdict(dict)

    def channel(self, target: str) -> grpc.aio.Channel:
        if target not in self._channels:
            self._channels[target] = open_channel(target)
        return self._channels[target]

    async def renew(self, target: str) -> None:
        """Drops a channel that cannot connect, so that the next call opens it anew."""
        if channel := self._channels.pop(target, None):
            await channel.close()

    async def keep(self, targets: Collection[str]) -> None:
        """Closes the channels to all other targets, but for those of calls that are under way."""
        called = {target for calls in self._under_way.values() for target, _ in calls.values()}
        for target in self._channels.keys() - called - set(targets):
            await self.renew(target)

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    async def stop_calls(self, correlation_id: str) -> None:
        """Tells services to stop at once what they do for a run: left alone, they would linger on it."""
        calls = list(self._under_way.get(correlation_id, {}).values())
        await asyncio.gather(*(self._stop_call(target, context) for target, context in calls))

    async def _stop_call(self, target: str, context: CallContext) -> None:
        stub = capability_pb2_grpc.CapabilityServiceStub(self.channel(target))
        request = capability_pb2.CancelCallRequest(call_id=context.call_id)
        # A service that does not know this stops when the call itself is cancelled.
        with contextlib.suppress(grpc.aio.AioRpcError):
            await stub.CancelCall(request, timeout=CANCEL_SECONDS, metadata=context.canceller())

    @contextlib.contextmanager
    def _calling(self, target: str, context: CallContext) -> Iterator[None]:
        of_run = self._under_way[context.correlation_id]
        of_run[context.call_id] = (target, context)
        try:
            yield
        finally:
            del of_run[context.call_id]
            if not of_run:
                self._under_way.pop(context.correlation_id, None)

    async def invoke(
        self, service: str, target: str, request: capability_pb2.InvokeRequest, context: CallContext
    ) -> capability_pb2.InvokeResult:
        """Does one step at a service and returns its result. Cancelling the coroutine cancels the call.

        Raises:
            ServiceCallFailed: the call ended without a result.
            Displaced: a later owner of the file has called this service.
        """
        with self._calling(target, context):
            return await self._invoke(service, target, request, context)

    async def _invoke(
        self, service: str, target: str, request: capability_pb2.InvokeRequest, context: CallContext
    ) -> capability_pb2.InvokeResult:
        stub = capability_pb2_grpc.CapabilityServiceStub(self.channel(target))
        call = stub.Invoke(request, timeout=context.timeout(), metadata=context.metadata())
        result = None
        try:
            # Read to the end of the stream: only then has the service, too, completed the call.
            async for response in call:
                failpoint("call.streaming")
                if response.WhichOneof("event") == "result":
                    result = response.result
        except grpc.aio.AioRpcError as error:
            if result is None:
                raise _failure(service, error) from None
        finally:
            call.cancel()
        if result is None:
            raise ServiceCallFailed(service, grpc.StatusCode.UNKNOWN.name, "the stream ended without a result")
        return result

    async def score(
        self, service: str, target: str, request: model_pb2.ScoreRequest, context: CallContext
    ) -> model_pb2.ScoreResponse:
        """Log-probabilities of the candidates.

        Raises:
            ServiceCallFailed: the model gave none.
            Displaced: a later owner of the file has called this service.
        """
        stub = model_pb2_grpc.ModelServiceStub(self.channel(target))
        with self._calling(target, context):
            try:
                return await stub.Score(request, timeout=context.timeout(), metadata=context.metadata())
            except grpc.aio.AioRpcError as error:
                raise _failure(service, error) from None


def _failure(service: str, error: grpc.aio.AioRpcError) -> ServiceCallFailed | Displaced:
    details = error.details() or ""
    if error.code() is grpc.StatusCode.FAILED_PRECONDITION and DISPLACED in details:
        return Displaced(f"{service}: {details}")
    return ServiceCallFailed(service, error.code().name, details)
