"""The service's own count of the calls it began and completed: the audit that nothing completed is repeated."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from google.protobuf.timestamp_pb2 import Timestamp

from milepost.capability.v1 import capability_pb2
from milepost_service.interceptors import AroundInterceptor, IncomingCall
from milepost_service.metadata import CALL_ID, CORRELATION_ID

KEPT_CALLS = 10_000


class CallLog:
    """Calls that carried a `milepost-call-id`, by id and method; the oldest leave when it is full."""

    def __init__(self, kept: int = KEPT_CALLS) -> None:
        self._kept = kept
        self._calls: OrderedDict[tuple[str, str], capability_pb2.Call] = OrderedDict()

    def start(self, call_id: str, method: str, correlation_id: str) -> None:
        """Counts one begin of the work."""
        call = self._calls.setdefault((call_id, method), capability_pb2.Call(call_id=call_id, method=method))
        call.correlation_id = correlation_id
        call.started += 1
        self._touch(call)
        while len(self._calls) > self._kept:
            self._calls.popitem(last=False)

    def complete(self, call_id: str, method: str) -> None:
        """Counts one full answer."""
        if call := self._calls.get((call_id, method)):
            call.completed += 1
            self._touch(call)

    def response(self) -> capability_pb2.ListCallsResponse:
        """The answer of `CapabilityService.ListCalls`, newest first."""
        return capability_pb2.ListCallsResponse(calls=reversed(self._calls.values()))

    def _touch(self, call: capability_pb2.Call) -> None:
        now = Timestamp()
        now.GetCurrentTime()
        call.last_time.CopyFrom(now)
        self._calls.move_to_end((call.call_id, call.method))


class CallLogInterceptor(AroundInterceptor):
    """Counts each call with an id as started when it comes in, and as completed when it was answered in full."""

    def __init__(self, calls: CallLog) -> None:
        self._calls = calls

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncIterator[None]:
        call_id = call.metadata(CALL_ID)
        if not call_id:
            yield
            return
        self._calls.start(call_id, call.method, call.metadata(CORRELATION_ID))
        yield
        self._calls.complete(call_id, call.method)
