"""The service's own count of the calls it began and completed: the audit that nothing completed is repeated."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from milepost.capability.v1 import capability_pb2
from milepost_service.interceptors import AroundInterceptor, IncomingCall
from milepost_service.metadata import CALL_ID, CORRELATION_ID

KEPT_CALLS = 10_000


@dataclass
class _Serving:
    """The call that is being served, and how many calls it has made so far."""

    call_id: str
    made: int = 0


_serving: ContextVar[_Serving | None] = ContextVar("milepost_serving", default=None)


def inner_call_id() -> str:
    """The id of the next call made for the call that is being served: `OUTER.N`; empty when that one has none.

    It is the same when the outer call is repeated and does the same again.
    """
    serving = _serving.get()
    if serving is None:
        return ""
    serving.made += 1
    return f"{serving.call_id}.{serving.made - 1}"


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
        token = _serving.set(_Serving(call_id))
        try:
            yield
        finally:
            _serving.reset(token)
        self._calls.complete(call_id, call.method)
