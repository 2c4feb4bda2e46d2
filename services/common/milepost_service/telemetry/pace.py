"""Keeps background work of a thread from being felt: it gets a small share of what the rest of a busy process takes.

Of that, and not of a core: a process that has to share the machine, or has a limit, pays no more for it.
"""

import time
from dataclasses import dataclass
from typing import Final

BUSY: Final = 0.1
"""The process is busy when all else in it takes more than this of one core."""
WINDOW: Final = 0.1
"""Seconds over which that is measured."""
LONGEST_REST: Final = 2.0


@dataclass(frozen=True)
class Shares:
    """Between 0 and 1."""

    busy: float
    """Of the CPU time of the rest of the process, while that is busy."""
    pressed: float
    """The same, when it has been busy for so long that work might be given up."""
    idle: float = 0.25
    """Of one core, while it is not busy."""


class Pace:
    """Says after each piece of work how long to rest. For one thread."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._others = 1.0
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
            self._others = others / passed
            self._start()
        rest, self._owed = self._owed / self._share(pressed), 0.0
        return min(rest, LONGEST_REST)

    def _share(self, pressed: bool) -> float:
        """Of one core."""
        if self._others <= BUSY:
            return self._shares.idle
        return self._others * (self._shares.pressed if pressed else self._shares.busy)
