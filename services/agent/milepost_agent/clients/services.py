"""gRPC calls to services, each with a call id, a deadline and the correlation id of its run."""

import time
from dataclasses import dataclass

import grpc

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_agent.errors import ServiceCallFailed
from milepost_service.channels import open_channel
from milepost_service.metadata import call_metadata


@dataclass(frozen=True)
class CallContext:
    """What travels with a call; `deadline` in seconds since the epoch."""

    call_id: str
    correlation_id: str
    epoch: int
    deadline: float

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return call_metadata(call_id=self.call_id, correlation_id=self.correlation_id, epoch=self.epoch)

    def timeout(self) -> float:
        return max(self.deadline - time.time(), 0.0)


class ServiceClients:
    """Channels by target, opened at first use and kept."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}

    def channel(self, target: str) -> grpc.aio.Channel:
        if target not in self._channels:
            self._channels[target] = open_channel(target)
        return self._channels[target]

    async def renew(self, target: str) -> None:
        """Drops a channel that cannot connect, so that the next call opens it anew."""
        if channel := self._channels.pop(target, None):
            await channel.close()

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    async def invoke(
        self, service: str, target: str, request: capability_pb2.InvokeRequest, context: CallContext
    ) -> capability_pb2.InvokeResult:
        """Does one step at a service and returns its result. Cancelling the coroutine cancels the call.

        Raises:
            ServiceCallFailed: the call ended without a result.
        """
        stub = capability_pb2_grpc.CapabilityServiceStub(self.channel(target))
        call = stub.Invoke(request, timeout=context.timeout(), metadata=context.metadata())
        result = None
        try:
            # Read to the end of the stream: only then has the service, too, completed the call.
            async for response in call:
                if response.WhichOneof("event") == "result":
                    result = response.result
        except grpc.aio.AioRpcError as error:
            if result is None:
                raise ServiceCallFailed(service, error.code().name, error.details() or "") from None
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
        """
        stub = model_pb2_grpc.ModelServiceStub(self.channel(target))
        try:
            return await stub.Score(request, timeout=context.timeout(), metadata=context.metadata())
        except grpc.aio.AioRpcError as error:
            raise ServiceCallFailed(service, error.code().name, error.details() or "") from None
