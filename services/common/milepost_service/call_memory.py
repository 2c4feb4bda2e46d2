"""A repeated request never makes a service work twice: it joins the work, or is answered from a short memory."""

import asyncio
import hashlib
import inspect
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message
from opentelemetry import trace

from milepost_service.caller import Caller
from milepost_service.calls import CallKey, CallLog, ServedCall
from milepost_service.correlation import current_correlation_id
from milepost_service.errors import AlreadyExistsError, ResourceExhaustedError
from milepost_service.interceptors import WORK_METHODS, behaviour_of, with_behaviour
from milepost_service.metadata import CALL_ID, first_value
from milepost_service.telemetry.conventions import Attributes
from milepost_service.work import Behaviour, CallCancelledError, Request, Work

KEPT_ANSWERS = 4_096
KEPT_BYTES = 64 * 1024 * 1024
KEPT_SECONDS = 600.0
_INNER_ID = re.compile(r".+\.[0-9]+")


class CallMemory:
    """Works in progress, and the answers of completed ones, by owner, call id and method.

    At most `kept` completed answers of at most `kept_seconds`; all answers together, those in the making included,
    take at most `kept_bytes`. Failed work leaves nothing behind. Bound to one process: after a restart of the service
    a repeated request begins anew.
    """

    def __init__(
        self,
        *,
        kept: int = KEPT_ANSWERS,
        kept_bytes: int = KEPT_BYTES,
        kept_seconds: float = KEPT_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log = CallLog()
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._kept_seconds = kept_seconds
        self._now = now
        self._bytes = 0
        self._working: dict[CallKey, Work] = {}
        self._completed: OrderedDict[CallKey, tuple[float, Work]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unnamed = 0

    @property
    def active(self) -> int:
        """Calls that are worked on, whether or not anybody waits for them."""
        return len(self._working) + self._unnamed

    @contextmanager
    def unnamed(self) -> Iterator[None]:
        """Inside, a call without an id is worked on."""
        self._unnamed += 1
        try:
            yield
        finally:
            self._unnamed -= 1

    @contextmanager
    def work(self, method: str, behaviour: Behaviour, message: Message, context: Any) -> Iterator[Work]:
        """The work for a request with a call id, begun now or before; inside, the request waits for it.

        Raises:
            AlreadyExistsError: another request was made with the same id.
        """
        request = Request(Caller.of(context.invocation_metadata()), context.time_remaining())
        work = self._work_for(request, method, behaviour, message, context)
        try:
            yield work
        finally:
            work.leave(request)

    def cancel(self, owner: str, call_id: str) -> bool:
        """Stops the work for a call of this owner at once; whether there was any."""
        found = [work for key, work in self._working.items() if (key.owner, key.call_id) == (owner, call_id)]
        for work in found:
            work.end(CallCancelledError(call_id))
        return bool(found)

    def displace(self, owner: str, epoch: int) -> None:
        """Work for a lower epoch of this owner goes on only if a request of `epoch` joins it in its linger.

        Inner calls (`OUTER.N`) end with their outer one, which may have been joined.
        """
        for key, work in list(self._working.items()):
            if key.owner == owner and not _INNER_ID.fullmatch(key.call_id):
                work.displace(epoch)

    async def close(self) -> None:
        """Stops all work and waits until it has stopped."""
        for work in list(self._working.values()):
            work.end(CallCancelledError(work.call.key.call_id))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _work_for(self, request: Request, method: str, behaviour: Behaviour, message: Message, context: Any) -> Work:
        key = CallKey(request.caller.owner, request.caller.call_id, method)
        digest = hashlib.sha256(message.SerializeToString(deterministic=True)).digest()
        known = self._known(key)
        if known and known.digest != digest:
            raise AlreadyExistsError(f"call {key.call_id} was made before with another request")
        self.log.request(key, current_correlation_id())
        trace.get_current_span().set_attribute(Attributes.REPLAYED, known is not None)
        work = known or Work(ServedCall(key), digest, grew=self._grew, ended=self._ended)
        work.join(request)
        if known is None:
            self._working[key] = work
            self.log.start(key)
            task = work.begin(behaviour, message, context)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return work

    def _known(self, key: CallKey) -> Work | None:
        self._forget_old()
        if work := self._working.get(key):
            return work
        return self._completed[key][1] if key in self._completed else None

    def _grew(self, work: Work, size: int) -> None:
        self._bytes += size
        self._forget_old()
        if self._bytes > self._kept_bytes:
            self._bytes -= size
            raise ResourceExhaustedError(
                f"call {work.call.key.call_id}: the answers in the making take more than {self._kept_bytes} bytes"
            )

    def _ended(self, work: Work) -> None:
        key = work.call.key
        del self._working[key]
        if work.error is not None:
            self._bytes -= work.size
            return
        self.log.complete(key)
        self._completed[key] = (self._now(), work)
        self._forget_old()

    def _forget_old(self) -> None:
        """Drops the oldest answers until the rest keeps to all three bounds."""
        limit = self._now() - self._kept_seconds
        while self._completed:
            completed, work = next(iter(self._completed.values()))
            if completed > limit and len(self._completed) <= self._kept and self._bytes <= self._kept_bytes:
                return
            self._completed.popitem(last=False)
            self._bytes -= work.size


class CallMemoryInterceptor(grpc.aio.ServerInterceptor):
    """Answers each request with a call id, for a method that does work, through the memory."""

    def __init__(self, memory: CallMemory) -> None:
        self._memory = memory

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method not in WORK_METHODS:
            return handler
        behaviour = behaviour_of(handler)
        if not first_value(handler_call_details.invocation_metadata, CALL_ID):
            return with_behaviour(handler, self._counted(behaviour))

        async def stream(message: Any, context: Any) -> AsyncIterator[Message]:
            with self._memory.work(method, behaviour, message, context) as work:
                async for response in work.responses():
                    yield response

        async def unary(message: Any, context: Any) -> Message:
            with self._memory.work(method, behaviour, message, context) as work:
                (answer,) = [response async for response in work.responses()]
                return answer

        return with_behaviour(handler, stream if handler.response_streaming else unary)

    def _counted(self, behaviour: Behaviour) -> Behaviour:
        async def stream(message: Any, context: Any) -> AsyncIterator[Message]:
            with self._memory.unnamed():
                async with aclosing(behaviour(message, context)) as responses:
                    async for response in responses:
                        yield response

        async def unary(message: Any, context: Any) -> Message | None:
            with self._memory.unnamed():
                answer: Message | None = await behaviour(message, context)
                return answer

        return stream if inspect.isasyncgenfunction(behaviour) else unary
