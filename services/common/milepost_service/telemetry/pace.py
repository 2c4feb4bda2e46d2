"""Keeps background work of a thread from being felt: it gets a small share of the time of a process that is busy."""

import time
from dataclasses import dataclass
from typing import Final

BUSY: Final = 0.2
"""The process is busy when all else in it takes more than this of one core."""
WINDOW: Final = 0.1
"""Seconds over which that is measured."""
LONGEST_REST: Final = 2.0


@dataclass(frozen=True)
class Shares:
    """Of one core, between 0 and 1."""

    busy: float
    """While the process does something else."""
    pressed: float
    """While it does, and has done so for so long that work might be given up."""
    idle: float = 0.25


class Pace:
    """Says after each piece of work how long to rest. For one thread."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._busy = True
        self._owed = 0.0
        self._own = time.thread_time()
        self._start()

    def _start(self) -> None:
        self._window = (time.monotonic(), time.process_time(), time.thread_time())

    def rest(self, *, pressed: bool) -> float:
        """Seconds. `pressed`: there is so much work that a small share is not enough."""
        own = time.thread_time()
        self._owed += own - self._own
        self._own = own
        began, process, thread = self._window
        if (passed := time.monotonic() - began) >= WINDOW:
            others = (time.process_time() - process) - (own - thread)
            self._busy = others / passed > BUSY
            self._start()
        busy_share = self._shares.pressed if pressed else self._shares.busy
        rest, self._owed = self._owed / (busy_share if self._busy else self._shares.idle), 0.0
        return min(rest, LONGEST_REST)
