"""The one thread that owns the model, and the bounded queue in front of it."""

import asyncio
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from milepost_model.errors import QueueFullError, WorkCancelledError

T = TypeVar("T")
_END: Any = object()


@dataclass
class Job(Generic[T]):
    """One piece of work; `cancelled` becomes true when nobody waits for it any more."""

    work: "Callable[[Job[T]], T]"
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[T]"
    submitted: float = field(default_factory=time.monotonic)
    started: float = 0.0
    is_cancelled: bool = False
    is_pending: bool = True

    def cancelled(self) -> bool:
        return self.is_cancelled

    @property
    def queue_ms(self) -> float:
        return (self.started - self.submitted) * 1000

    @property
    def age_ms(self) -> float:
        return (time.monotonic() - self.submitted) * 1000


class Worker:
    """Runs jobs one after another in one thread; at most `queue_size` wait besides the one that runs."""

    def __init__(self, name: str, *, queue_size: int) -> None:
        self._queue: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._queue_size = queue_size
        self._pending = 0
        self._typical_seconds = 1.0
        self._running: Job[Any] | None = None
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return max(0, self._pending - 1)

    @property
    def running(self) -> int:
        """1 while a job is worked on, else 0."""
        return min(self._pending, 1)

    async def run(self, work: Callable[[Job[T]], T]) -> T:
        """Runs `work` in the thread. Cancelling the caller cancels the job. Raises QueueFullError."""
        if self._pending > self._queue_size:
            retry_after = min(60.0, max(0.1, self._typical_seconds * self._pending))
            raise QueueFullError(self.waiting, retry_after)
        loop = asyncio.get_running_loop()
        job: Job[T] = Job(work, loop, loop.create_future())
        self._pending += 1
        self._queue.put(job)
        try:
            return await asyncio.shield(job.future)
        finally:
            job.is_cancelled = True
            if not job.started:  # a request that left the queue gives up its place at once
                self._leave(job)

    async def stream(self, work: Callable[[Job[T], Callable[[str], None]], T]) -> AsyncGenerator[str | T, None]:
        """Runs `work`, yielding each text it emits, then its result."""
        loop = asyncio.get_running_loop()
        texts: asyncio.Queue[Any] = asyncio.Queue()

        def emit(text: str) -> None:
            loop.call_soon_threadsafe(texts.put_nowait, text)

        task = asyncio.ensure_future(self.run(lambda job: work(job, emit)))
        task.add_done_callback(lambda _: texts.put_nowait(_END))
        try:
            while (text := await texts.get()) is not _END:
                yield text
            yield await task
        finally:
            task.cancel()

    def close(self) -> None:
        """Ends the thread after the job that runs, which is cancelled."""
        if self._running:
            self._running.is_cancelled = True
        self._queue.put(None)
        self._thread.join()

    def _main(self) -> None:
        while (job := self._queue.get()) is not None:
            self._running, job.started = job, time.monotonic()
            result: Any = None
            error: BaseException | None = None
            try:
                if job.is_cancelled:
                    raise WorkCancelledError
                result = job.work(job)
            except Exception as raised:  # the caller decides what it means
                error = raised
            self._running = None
            job.loop.call_soon_threadsafe(self._settle, job, result, error)

    def _leave(self, job: Job[Any]) -> None:
        self._pending -= job.is_pending
        job.is_pending = False

    def _settle(self, job: Job[Any], result: Any, error: BaseException | None) -> None:
        self._leave(job)
        if error is None:
            taken = time.monotonic() - job.started
            self._typical_seconds += 0.3 * (taken - self._typical_seconds)
        if job.is_cancelled or job.future.done():
            job.future.cancel()
        elif error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)
