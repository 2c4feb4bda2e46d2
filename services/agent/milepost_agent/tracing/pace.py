"""Keeps background work of a thread from being felt: it gets a small share of the time of a process that is busy."""

import time
from typing import Final

BUSY_SHARE: Final = 0.005
"""Of one core, while the process does something else."""
PRESSED_SHARE: Final = 0.05
"""Of one core, while the process does something else and has done so for so long that work might be given up."""
IDLE_SHARE: Final = 0.25
BUSY: Final = 0.2
"""The process is busy when all else in it takes more than this of one core."""
WINDOW: Final = 0.1
"""Seconds over which that is measured."""
LONGEST_REST: Final = 2.0


class Pace:
    """Says after each piece of work how long to rest. For one thread."""

    def __init__(self) -> None:
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
        busy_share = PRESSED_SHARE if pressed else BUSY_SHARE
        rest, self._owed = self._owed / (busy_share if self._busy else IDLE_SHARE), 0.0
        return min(rest, LONGEST_REST)
