"""How many requests are at the server at once, and how many may wait for that."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from milepost_model.errors import QueueFullError

_SHORTEST_HINT = 1.0
_LONGEST_HINT = 60.0
_WEIGHT = 0.2
"""Of the newest request in the mean time that one takes."""


class Admission:
    """At most `concurrency` requests are under way, in the order in which they came; `queue_size` more may wait."""

    def __init__(self, concurrency: int, queue_size: int) -> None:
        self.active = 0
        self.waiting = 0
        self._concurrency = concurrency
        self._queue_size = queue_size
        self._slots = asyncio.Semaphore(concurrency)
        self._mean_seconds = 0.0

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[float]:
        """Inside, the request is under way; gives the seconds that it waited.

        Raises:
            QueueFullError: as many wait as may.
        """
        begin = time.monotonic()
        await self._wait()
        self.active += 1
        admitted = time.monotonic()
        try:
            yield admitted - begin
        finally:
            self.active -= 1
            self._slots.release()
            self._mean_seconds += _WEIGHT * (time.monotonic() - admitted - self._mean_seconds)

    async def _wait(self) -> None:
        if self._slots.locked() and self.waiting >= self._queue_size:
            raise QueueFullError(self.waiting, self._hint())
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1

    def _hint(self) -> float:
        """Seconds until a place may be free: about as long as those who wait take until they are under way."""
        seconds = self._mean_seconds * (self.waiting + 1) / self._concurrency
        return min(max(seconds, _SHORTEST_HINT), _LONGEST_HINT)
