"""The work for one call, in a task of its own: it may outlive the request that began it, and others may join it."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message

from milepost_service.caller import Caller
from milepost_service.calls import ServedCall, serving
from milepost_service.errors import RemoteError, ServiceError
from milepost_service.fencing import DisplacedError

Behaviour = Callable[[Any, Any], Any]
"""A handler of gRPC: a coroutine that returns the response, or an async generator of responses."""

_OVERHEAD_BYTES = 64
"""What a kept response takes in memory besides its own bytes."""


class CallCancelledError(ServiceError):
    """The work was stopped before it was completed."""

    code = "CANCELLED"

    def __init__(self, call_id: str) -> None:
        super().__init__(f"call {call_id} was cancelled")


class WorkOverdueError(ServiceError):
    """The deadline of the newest request has passed."""

    code = "DEADLINE_EXCEEDED"

    def __init__(self, call_id: str) -> None:
        super().__init__(f"call {call_id}: the deadline of its newest request has passed")


@dataclass(frozen=True, eq=False)
class Request:
    """One request that waits for the work. `seconds` are left until its deadline; None when it has none."""

    caller: Caller
    seconds: float | None


class Work:
    """The answer so far, and whether anybody still waits for it.

    `grew` hears of each part of the answer before it is added and may refuse it; `ended` hears once of the end.
    """

    def __init__(
        self, call: ServedCall, digest: bytes, *, grew: Callable[["Work", int], None], ended: Callable[["Work"], None]
    ) -> None:
        self.call = call
        self.digest = digest
        self.size = 0
        """Bytes of the answer so far."""
        self.error: BaseException | None = None
        self.is_over = False
        self._grew = grew
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._responses: list[bytes] = []  # a message object of one token takes ten times its bytes
        self._parse: Callable[[bytes], Message]
        self._news = asyncio.Event()
        self._requests: set[Request] = set()
        self._fenced_epoch = -1
        self._linger = 0.0
        self._deadline: float | None = None
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, behaviour: Behaviour, request: Message, context: Any) -> "asyncio.Task[None]":
        """Starts the task, in a copy of the current context: correlation id and trace are those of this request."""
        seen = WorkContext(self, context)
        self._task = asyncio.create_task(self._run(behaviour, request, seen), name=f"work {self.call.key.call_id}")
        self._task.add_done_callback(self._done)
        return self._task

    def join(self, request: Request) -> None:
        """From now on the work is done for this request too; its deadline and linger count."""
        self._requests.add(request)
        if request.caller.epoch is not None:
            self.call.epoch = max(request.caller.epoch, self.call.epoch or 0)
        self._linger = request.caller.linger
        if self._deadline_timer:
            self._deadline_timer.cancel()
            self._deadline_timer = self._deadline = None
        if request.seconds is not None and not self.is_over:
            self._deadline = self._loop.time() + request.seconds
            self._deadline_timer = self._loop.call_at(self._deadline, self._late)
        self._wait_or_go_on()

    def leave(self, request: Request) -> None:
        """The request has its answer, or its caller is gone."""
        self._requests.discard(request)
        self._wait_or_go_on()

    def displace(self, epoch: int) -> None:
        """Requests of a lower epoch no longer keep the work going."""
        self._fenced_epoch = epoch
        self._wait_or_go_on()

    def end(self, error: BaseException) -> None:
        """Stops the work; who waits for it gets `error` now."""
        if self._settle(error) and self._task:
            self._task.cancel()

    def time_remaining(self) -> float | None:
        """Seconds until the deadline of the newest request."""
        return None if self._deadline is None else max(0.0, self._deadline - self._loop.time())

    def add(self, response: Message) -> None:
        """Appends one response for all who wait."""
        if self.is_over:
            return
        data = response.SerializeToString()
        self._grew(self, len(data) + _OVERHEAD_BYTES)
        self.size += len(data) + _OVERHEAD_BYTES
        self._parse = type(response).FromString
        self._responses.append(data)
        self._tell()

    async def responses(self) -> AsyncIterator[Message]:
        """All responses from the first on, as they come; raises the error that the work ended with."""
        count = 0
        while True:
            while count < len(self._responses):
                yield self._parse(self._responses[count])
                count += 1
            if self.is_over:
                if self.error:
                    raise self.error
                return
            await self._news.wait()

    async def _run(self, behaviour: Behaviour, request: Message, context: "WorkContext") -> None:
        with serving(self.call):
            if inspect.isasyncgenfunction(behaviour):
                async with aclosing(behaviour(request, context)) as responses:
                    async for response in responses:
                        self.add(response)
            elif (response := await behaviour(request, context)) is not None:
                self.add(response)

    def _done(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            self._settle(CallCancelledError(self.call.key.call_id))
        else:
            self._settle(task.exception())

    def _settle(self, error: BaseException | None) -> bool:
        if self.is_over:
            return False
        self.is_over, self.error = True, error
        for timer in (self._deadline_timer, self._linger_timer):
            if timer:
                timer.cancel()
        self._tell()
        self._ended(self)
        return True

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _wait_or_go_on(self) -> None:
        """Begins to wait for somebody to come back when nobody is there who counts."""
        wanted = any(self._counts(request.caller) for request in self._requests)
        if self._linger_timer and wanted:
            self._linger_timer.cancel()
            self._linger_timer = None
        elif not (self._linger_timer or wanted or self.is_over):
            # Never at once: the request that displaces an epoch may be the one that joins.
            self._linger_timer = self._loop.call_later(self._linger, self._abandon)

    def _counts(self, caller: Caller) -> bool:
        return caller.epoch is None or caller.epoch >= self._fenced_epoch

    def _abandon(self) -> None:
        if self._requests:  # those that no longer count
            self.end(DisplacedError(self.call.key.owner, self.call.epoch or 0, self._fenced_epoch))
        else:
            self.end(CallCancelledError(self.call.key.call_id))

    def _late(self) -> None:
        self.end(WorkOverdueError(self.call.key.call_id))


class WorkContext:
    """What a handler may ask of the call that it works on: the work has no connection of its own."""

    def __init__(self, work: Work, context: Any) -> None:
        self._work = work
        self._metadata: Sequence[tuple[str, str | bytes]] = tuple(context.invocation_metadata() or ())
        self._peer: str = context.peer()

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """Metadata of the request that began the work."""
        return self._metadata

    def peer(self) -> str:
        """Who began the work."""
        return self._peer

    def time_remaining(self) -> float | None:
        """Seconds until the deadline of the newest request; None when it has none."""
        return self._work.time_remaining()

    async def write(self, response: Message) -> None:
        """Sends a response to all who wait."""
        self._work.add(response)

    async def abort(self, code: grpc.StatusCode, details: str = "") -> None:
        """Ends the work with a status."""
        raise RemoteError(code.name, details)
