"""Sends what waits in a `LogQueue`, and takes so little of the process at a time that no run feels it."""

import threading
import time
from typing import Final

from milepost_service.telemetry.connection import Connection, Report, next_backoff
from milepost_service.telemetry.counters import SHUTDOWN, ExportCounters, exports
from milepost_service.telemetry.destination import resource_attributes
from milepost_service.telemetry.log_encoding import LogRequest
from milepost_service.telemetry.log_queue import QUEUE, LogQueue
from milepost_service.telemetry.pace import Pace, Shares

BATCH: Final = 512
"""Records of one request; a piece more at most."""
PIECE: Final = 32
"""Records that are encoded at a time: a third of a millisecond."""
SHARES: Final = Shares(busy=0.02, pressed=0.5, idle=0.5)
"""Some thousand records a second while runs go on; pressed when the queue is half full."""


class LogExport:
    """A request that is not taken now is sent again later, with growing pauses. For one thread, but for `close`."""

    def __init__(
        self,
        name: str,
        queue: LogQueue,
        connection: Connection,
        stop: threading.Event,
        counters: ExportCounters = exports,
    ) -> None:
        self._resource = resource_attributes(name)
        self._queue = queue
        self._connection = connection
        self._stop = stop
        self._counters = counters
        self._report = Report("logs", counters)
        self._pace = Pace(SHARES)
        self._request = LogRequest(self._resource)
        self._backoff = 0.0
        self._due = 0.0

    def send(self) -> bool:
        """Sends one request; whether it is done with, so that there may be more to send at once."""
        if time.monotonic() < self._due and not self._stop.is_set():
            return False
        self._gather()
        if not len(self._request):
            return False
        answer = self._connection.send(self._request.encoded())
        if answer.again:
            self._report.failed(answer.failure)
            self._backoff = next_backoff(self._backoff)
            self._due = time.monotonic() + self._backoff
            return False
        self._report.settled(len(self._request), answer)
        self._request, self._backoff = LogRequest(self._resource), 0.0
        return True

    def close(self) -> None:
        """Ends a request that is under way, and all later ones."""
        self._connection.close()

    def give_up(self) -> None:
        """Counts what was taken from the queue and not sent as dropped."""
        self._counters.gave_up("logs", len(self._request), SHUTDOWN)
        self._request = LogRequest(self._resource)

    def _gather(self) -> None:
        while len(self._request) < BATCH and (noted := self._queue.take(PIECE)):
            self._request.add(noted)
            self._stop.wait(self._pace.rest(pressed=self._queue.waiting > QUEUE // 2))
