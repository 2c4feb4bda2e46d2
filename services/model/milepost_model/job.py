"""What a caller in an event loop and the thread that owns the model share of one request."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Job(Generic[T]):
    """One request. Made in the caller's event loop, worked on in the owner's thread.

    Text that the caller has not read yet is joined: a slow reader costs the memory of one answer, and nobody's time.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self.loop.create_future()
        self.submitted = time.monotonic()
        self.started = 0.0
        self.is_cancelled = False
        """True when nobody waits for it any more."""
        self._texts: deque[str] = deque()
        self._news = asyncio.Event()
        self._is_told = False

    @property
    def queue_ms(self) -> float:
        return (self.started - self.submitted) * 1000

    @property
    def age_ms(self) -> float:
        return (time.monotonic() - self.submitted) * 1000

    def emit(self, text: str) -> None:
        """From the owner's thread: text for the caller."""
        self._texts.append(text)
        if not self._is_told:
            self._is_told = True
            self._in_loop(self._news.set)

    def end(self, result: T | BaseException) -> None:
        """From the owner's thread: the result, or the error that the caller gets."""
        self._in_loop(lambda: self._settle(result))

    async def texts(self) -> AsyncGenerator[str, None]:
        """The text as it comes, until the job has ended."""
        while not self.future.done():
            await self._news.wait()
            self._news.clear()
            self._is_told = False
            if text := self._unread():
                yield text
        if text := self._unread():
            yield text

    def _in_loop(self, action: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the caller's loop has ended
            self.loop.call_soon_threadsafe(action)

    def _unread(self) -> str:
        parts = []
        while self._texts:
            parts.append(self._texts.popleft())
        return "".join(parts)

    def _settle(self, result: T | BaseException) -> None:
        self._news.set()
        if self.future.done():
            return
        if self.is_cancelled:
            self.future.cancel()
        elif isinstance(result, BaseException):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)
