"""Keeps background work of a thread from being felt: it gets a small share of the time of a process that is busy."""

import time
from typing import Final

BUSY_SHARE: Final = 0.01
"""Of one core, while the process does something else."""
IDLE_SHARE: Final = 0.25
BUSY: Final = 0.2
"""The process is busy when all else in it takes more than this of one core."""
WINDOW: Final = 0.1
"""Seconds over which that is measured."""
LONGEST_REST: Final = 2.0


class Pace:
    """Says after each piece of work how long to rest. For one thread."""

    def __init__(self) -> None:
        self._share = BUSY_SHARE
        self._owed = 0.0
        self._own = time.thread_time()
        self._start()

    def _start(self) -> None:
        self._window = (time.monotonic(), time.process_time(), time.thread_time())

    def rest(self) -> float:
        """Seconds."""
        own = time.thread_time()
        self._owed += own - self._own
        self._own = own
        began, process, thread = self._window
        if (passed := time.monotonic() - began) >= WINDOW:
            others = (time.process_time() - process) - (own - thread)
            self._share = BUSY_SHARE if others / passed > BUSY else IDLE_SHARE
            self._start()
        rest, self._owed = self._owed / self._share, 0.0
        return min(rest, LONGEST_REST)
