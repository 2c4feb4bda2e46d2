"""What is going on, on a terminal; nothing elsewhere."""

from __future__ import annotations

import sys
import time

EVERY_SECONDS = 0.2
CLEAR = "\r\x1b[K"


class Progress:
    """One line of standard error that is written over again and again, and is gone in the end."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._shown = time.monotonic()
        self._on_terminal = sys.stderr.isatty()

    def say(self, what: str) -> None:
        self._write(f"{CLEAR}{what}")

    def count(self, done: int) -> None:
        """How many of the queries are done; shown now and then."""
        if time.monotonic() - self._shown >= EVERY_SECONDS:
            self._shown = time.monotonic()
            self.say(f"{done} of {self._total} queries")

    def clear(self) -> None:
        self._write(CLEAR)

    def _write(self, text: str) -> None:
        if self._on_terminal:
            sys.stderr.write(text)
            sys.stderr.flush()
