"""Log records that wait to be exported: noted at once, encoded by whoever exports them."""

import logging
import threading
from collections import deque
from typing import Final, NamedTuple

from opentelemetry.context import Context, get_current

from milepost_service.correlation import current_correlation_id
from milepost_service.telemetry.counters import QUEUE_FULL, SHUTDOWN, ExportCounters, exports

QUEUE: Final = 4096
"""Log records that wait at most."""
_OWN: Final = ("opentelemetry", "grpc")
"""Loggers of what exports: their records would make more of them."""


class NotedRecord(NamedTuple):
    """A log record with what is true of it only where it is made."""

    record: logging.LogRecord
    message: str
    correlation_id: str
    context: Context


class LogQueue(logging.Handler):
    """Never blocks: what comes while the queue is full is counted as dropped. Takes nothing from its own thread."""

    def __init__(self, counters: ExportCounters = exports) -> None:
        super().__init__(logging.DEBUG)
        self.own_thread: threading.Thread | None = None
        self._counters = counters
        self._noted: deque[NotedRecord] = deque()
        self._wanted = True

    def emit(self, record: logging.LogRecord) -> None:
        if not self._wanted or threading.current_thread() is self.own_thread or record.name.partition(".")[0] in _OWN:
            return
        if len(self._noted) >= QUEUE:
            self._counters.gave_up("logs", 1, QUEUE_FULL)
            return
        try:
            noted = NotedRecord(record, record.getMessage(), current_correlation_id(), get_current())
        except Exception:
            self.handleError(record)
        else:
            self._noted.append(noted)

    def ignore(self) -> None:
        """Forgets what is here and notes nothing more: there is nowhere to send it to."""
        self._wanted = False
        self._noted.clear()

    @property
    def waiting(self) -> int:
        """How many are here."""
        return len(self._noted)

    def take(self, most: int) -> list[NotedRecord]:
        """The oldest ones, which are here no longer. For one thread."""
        return [self._noted.popleft() for _ in range(min(most, len(self._noted)))]

    def give_up(self) -> None:
        """Counts what is still here as dropped."""
        self._counters.gave_up("logs", len(self.take(QUEUE)), SHUTDOWN)
