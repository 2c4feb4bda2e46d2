"""The service's own count of the calls it worked on: the audit that nothing completed is repeated."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from milepost.capability.v1 import capability_pb2
from milepost_service.metadata import Metadata, call_metadata

KEPT_CALLS = 10_000


class CallKey(NamedTuple):
    """What makes two requests the same call. `owner` may be empty, `method` is the full gRPC name."""

    owner: str
    call_id: str
    method: str


@dataclass
class ServedCall:
    """The call that is being worked on, its highest epoch so far, and how many calls it has made itself."""

    key: CallKey
    epoch: int | None = None
    made: int = 0


_served: ContextVar[ServedCall | None] = ContextVar("milepost_served_call", default=None)


@contextmanager
def serving(call: ServedCall) -> Iterator[None]:
    """Everything inside is done for this call."""
    token = _served.set(call)
    try:
        yield
    finally:
        _served.reset(token)


def served_call() -> ServedCall | None:
    """The call that is being served; None when its caller gave no id."""
    return _served.get()


def served_call_id() -> str:
    """The idempotency key of the call that is being served; empty when its caller gave none."""
    served = _served.get()
    return served.key.call_id if served else ""


def inner_call_metadata() -> Metadata:
    """Metadata of the next call made for the call that is being served: its owner and epoch, and the id `OUTER.N`.

    The id is the same when the outer call is repeated and does the same again. An inner call does not outlive the
    service that makes it.
    """
    served = _served.get()
    if served is None:
        return call_metadata()
    served.made += 1
    inner_id = f"{served.key.call_id}.{served.made - 1}"
    return call_metadata(call_id=inner_id, owner=served.key.owner, epoch=served.epoch)


class CallLog:
    """Calls that carried a `milepost-call-id`; the oldest leave when it is full."""

    def __init__(self, kept: int = KEPT_CALLS) -> None:
        self._kept = kept
        self._calls: OrderedDict[CallKey, capability_pb2.Call] = OrderedDict()

    def request(self, key: CallKey, correlation_id: str) -> None:
        """Counts one request."""
        call = self._calls.setdefault(key, capability_pb2.Call(call_id=key.call_id, method=key.method))
        call.correlation_id = correlation_id
        call.requested += 1
        self._touch(key)
        while len(self._calls) > self._kept:
            self._calls.popitem(last=False)

    def start(self, key: CallKey) -> None:
        """Counts one begin of the work."""
        if call := self._calls.get(key):
            call.started += 1
            self._touch(key)

    def complete(self, key: CallKey) -> None:
        """Counts one full answer."""
        if call := self._calls.get(key):
            call.completed += 1
            self._touch(key)

    def response(self) -> capability_pb2.ListCallsResponse:
        """The answer of `CapabilityService.ListCalls`, newest first."""
        return capability_pb2.ListCallsResponse(calls=reversed(self._calls.values()))

    def _touch(self, key: CallKey) -> None:
        now = Timestamp()
        now.GetCurrentTime()
        self._calls[key].last_time.CopyFrom(now)
        self._calls.move_to_end(key)
