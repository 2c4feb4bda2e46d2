"""Trying again: a bounded number of times, no sooner than the server asks, and never past a caller's deadline.

The client's own retries are switched off for these: they know no deadline, pass over a wait of more than a minute, and
let each request find out by itself that the server wants none now.
"""

import asyncio
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from milepost_model.remote.failures import ServerError

MOST_ATTEMPTS = 4
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
_log = logging.getLogger(__name__)

T = TypeVar("T")


class Attempts:
    """For all requests to one server: when it says how long it takes none, all of them wait."""

    def __init__(self, *, first_pause: float = FIRST_PAUSE) -> None:
        self.retries: Counter[str] = Counter()
        """Attempts that were made again, by the gRPC status of the one before."""
        self._first_pause = first_pause
        self._refused_until = 0.0
        self._refusal: ServerError | None = None

    async def run(self, attempt: Callable[[], Awaitable[T]], deadline: float) -> T:
        """What the first attempt that succeeds returns. `deadline` is a time of the monotonic clock.

        Raises:
            ServerError: of the last attempt; or of another request, when the server takes none until the deadline.
        """
        for number in range(1, MOST_ATTEMPTS + 1):
            await self._until_taken(deadline)
            try:
                return await attempt()
            except ServerError as error:
                pause = self._pause(error, number)
                if not error.passes or number == MOST_ATTEMPTS or time.monotonic() + pause >= deadline:
                    raise
                _log.info("attempt %d failed, next in %.1f s: %s", number, pause, error)
                self.retries[error.code] += 1
                await asyncio.sleep(pause)
        raise AssertionError("the last failure is raised")

    def _pause(self, error: ServerError, number: int) -> float:
        if error.retry_after is not None:
            self._refused_until, self._refusal = time.monotonic() + error.retry_after, error
            return error.retry_after
        pause = min(math.ldexp(self._first_pause, number - 1), LONGEST_PAUSE)
        return pause * random.uniform(0.75, 1.0)  # noqa: S311 -- so that not all come back at once

    async def _until_taken(self, deadline: float) -> None:
        while self._refusal is not None and (left := self._refused_until - time.monotonic()) > 0:
            if self._refused_until >= deadline:
                error = self._refusal
                raise ServerError(str(error), code=error.code, status=error.status, passes=True, retry_after=left)
            await asyncio.sleep(left)
