"""What became of the telemetry of this process: exported, or given up and why."""

import threading
from collections import Counter
from typing import Final, Literal

Signal = Literal["spans", "metrics", "logs"]

QUEUE_FULL: Final = "queue full"
"""More came than was sent."""
REFUSED: Final = "refused"
"""The receiver did not take it; metrics are not sent again, so that it does not have to say so of them."""
SHUTDOWN: Final = "shutdown"
"""The process ended, or the mode did, before it was sent."""


class ExportCounters:
    """Counts items (spans, metrics, log records) of every exporter of the process; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exported: Counter[Signal] = Counter()
        self._dropped: Counter[tuple[Signal, str]] = Counter()
        self._failures: dict[Signal, str] = {}

    def sent(self, signal: Signal, number: int) -> None:
        """The receiver took so many."""
        with self._lock:
            self._exported[signal] += number
            self._failures.pop(signal, None)

    def gave_up(self, signal: Signal, number: int, reason: str, failure: str = "") -> None:
        """So many are lost; `failure` is why an export failed, in one line, when it was one."""
        if not number and not failure:
            return
        with self._lock:
            if number:
                self._dropped[signal, reason] += number
            if failure:
                self._failures[signal] = failure

    def stopped(self, signal: Signal) -> None:
        """No more of it is exported, so that its last failure says nothing any more."""
        with self._lock:
            self._failures.pop(signal, None)

    @property
    def exported(self) -> dict[Signal, int]:
        with self._lock:
            return dict(self._exported)

    @property
    def dropped(self) -> dict[tuple[Signal, str], int]:
        """By signal and reason."""
        with self._lock:
            return dict(self._dropped)

    @property
    def failure(self) -> str:
        """Why the last export failed, in one line; empty when all is well."""
        with self._lock:
            return next((f"{signal}: {text}" for signal, text in self._failures.items()), "")


exports: Final = ExportCounters()
"""Those of this process."""
