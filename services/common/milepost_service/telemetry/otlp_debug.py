"""What debug adds: the log records and the metrics of the process over OTLP, from one thread that nobody waits for."""

import logging
import threading
from typing import Final

from milepost_service.telemetry.connection import Connection
from milepost_service.telemetry.counters import ExportCounters, exports
from milepost_service.telemetry.destination import SignalName, UnusableDestination, destination
from milepost_service.telemetry.log_export import LogExport
from milepost_service.telemetry.log_queue import LogQueue
from milepost_service.telemetry.metrics_export import MetricsExport, Sources

LOGS_SECONDS: Final = 0.5
"""How long a log record waits for others."""

_log = logging.getLogger(__name__)


class DebugExport:
    """Sends logs and metrics from the thread that calls `run`, until it is stopped."""

    def __init__(
        self, name: str, sources: Sources, queue: LogQueue, stop: threading.Event, counters: ExportCounters = exports
    ) -> None:
        self._stop = stop
        self._counters = counters
        logs, metrics = _connection("logs"), _connection("metrics")
        self._logs = None if logs is None else LogExport(name, queue, logs, stop, counters)
        if logs is None:
            queue.ignore()
        self._metrics = None if metrics is None else MetricsExport(name, sources, metrics, counters)

    def run(self) -> None:
        """Returns when it was stopped and what was queued is sent, or cannot be."""
        try:
            while not self._stop.is_set():
                if self._metrics is not None:
                    self._metrics.send_if_due()
                if not self._send_logs():
                    self._stop.wait(LOGS_SECONDS)
            while self._send_logs():
                pass
        finally:
            self.abort()
            if self._logs is not None:
                self._logs.give_up()
            for signal in ("logs", "metrics"):
                self._counters.stopped(signal)

    def abort(self) -> None:
        """Breaks off what is being sent; for any thread."""
        for export in (self._logs, self._metrics):
            if export is not None:
                export.close()

    def _send_logs(self) -> bool:
        """Whether there may be more to send at once."""
        return self._logs is not None and self._logs.send()


def _connection(signal: SignalName) -> Connection | None:
    """To where the environment has the signal sent; None when nowhere."""
    try:
        place = destination(signal)
    except UnusableDestination as error:
        _log.warning("%s are not exported: %s", signal, error)
        return None
    return None if place is None else Connection(place, signal)
