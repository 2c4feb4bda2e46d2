"""What debug adds: the log records and the metrics of the process over OTLP, from one thread that nobody waits for."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import partial
from typing import Any, Final, Literal

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from milepost_service import telemetry
from milepost_service.logs import extra_fields
from milepost_service.telemetry.conventions import Attributes, Metrics
from milepost_service.telemetry.counters import REFUSED, exports
from milepost_service.telemetry.destination import UnusableDestination, destination
from milepost_service.telemetry.log_queue import LogQueue, NotedRecord
from milepost_service.telemetry.prometheus_bridge import metrics_data
from milepost_service.telemetry.resources import ResourceReader

DebugSignal = Literal["logs", "metrics"]

METRICS_SECONDS: Final = 10.0
LOGS_SECONDS: Final = 0.5
"""How long a log record waits for others."""
BATCH: Final = 512
LONGEST: Final = 16384
"""Characters of a message or of a field that are sent."""
EXPORT_SECONDS: Final = 5.0
"""How long one export may take, with all its tries."""

_SEVERITIES: Final = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}
_log = logging.getLogger(__name__)


def endpoint(signal: DebugSignal) -> str:
    """Where the environment has it sent, without credentials, which gRPC does not take so; empty when nowhere."""
    try:
        place = destination(signal)
    except UnusableDestination as error:
        _log.warning("%s are not exported: %s", signal, error)
        return ""
    return "" if place is None else place.endpoint


class _Failures(logging.Filter):
    """Keeps why an export failed, which an exporter tells nobody but its log, and keeps that out of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, str] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        if "logs" not in arguments and "metrics" not in arguments:
            return True
        if record.levelno >= logging.ERROR and len(arguments) >= 4:
            signal, _, code, details = arguments[:4]
            self.last[str(signal)] = f"{getattr(code, 'name', code)}: {' '.join(str(details).split())}"[:200]
        return False


_failures: Final = _Failures()
logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter").addFilter(_failures)


class DebugExport:
    """Sends logs and metrics from the thread that calls `run`, until it is stopped."""

    def __init__(
        self,
        name: str,
        sources: Callable[[], Sequence[Callable[[], Iterable[Metric]]]],
        queue: LogQueue,
        stop: threading.Event,
    ) -> None:
        self._sources = sources
        self._queue = queue
        self._stop = stop
        self._resource = telemetry.resource(name)
        self._reader = ResourceReader()
        logs, metrics = endpoint("logs"), endpoint("metrics")
        self._logs = OTLPLogExporter(endpoint=logs, timeout=EXPORT_SECONDS) if logs else None
        self._metrics = OTLPMetricExporter(endpoint=metrics, timeout=EXPORT_SECONDS) if metrics else None
        self._open = [exporter for exporter in (self._logs, self._metrics) if exporter is not None]

    def run(self) -> None:
        """Returns when it was stopped and what was queued is sent, or cannot be."""
        try:
            self._work()
            self._send_logs()
        finally:
            self.abort()
            for signal in ("logs", "metrics"):
                exports.stopped(signal)

    def abort(self) -> None:
        """Breaks off what is being sent; for any thread."""
        while self._open:
            with contextlib.suppress(IndexError):
                self._open.pop().shutdown()

    def _work(self) -> None:
        metrics_due = 0.0
        while True:
            if self._metrics is not None and time.monotonic() >= metrics_due:
                metrics_due = time.monotonic() + METRICS_SECONDS
                self._send_metrics(self._metrics)
            if self._stop.wait(LOGS_SECONDS):
                return
            self._send_logs()

    def _send_logs(self) -> None:
        while self._logs is not None and (noted := self._queue.take(BATCH)):
            batch = [_log_record(each, self._resource) for each in noted]
            if not _send("logs", len(batch), partial(self._logs.export, batch)):
                return

    def _send_metrics(self, exporter: OTLPMetricExporter) -> None:
        data = metrics_data(self._families(), self._resource)
        points = sum(
            len(metric.data.data_points)
            for each in data.resource_metrics
            for scope in each.scope_metrics
            for metric in scope.metrics
        )
        _send("metrics", points, partial(exporter.export, data))

    def _families(self) -> Iterator[Metric]:
        """What each source gives, the first of a name; a source that fails is left out this time."""
        names: set[str] = set()
        for source in (*self._sources(), self._process):
            try:
                families = list(source())
            except Exception:
                _log.warning("metrics are missing", exc_info=True)
                continue
            yield from (family for family in families if family.name not in names)
            names |= {family.name for family in families}

    def _process(self) -> Iterator[Metric]:
        reading = self._reader.read()
        yield CounterMetricFamily(Metrics.CPU_SECONDS, "CPU time used.", value=reading.cpu_seconds)
        yield GaugeMetricFamily(Metrics.MEMORY_BYTES, "Memory in use.", value=reading.memory_bytes)


def _send(signal: DebugSignal, number: int, export: Callable[[], Enum]) -> bool:
    """Counts what becomes of so many items; whether they were taken."""
    try:
        sent = export().name == "SUCCESS"
    except Exception as error:  # whatever an exporter makes of a value that it cannot encode
        sent, _failures.last[signal] = False, f"{type(error).__name__}: {error}"[:200]
    if sent:
        exports.sent(signal, number)
    else:
        failure = _failures.last.pop(signal, "was not taken")
        exports.gave_up(signal, number, REFUSED, f"{endpoint(signal)}: {failure}")
    return sent


def _log_record(noted: NotedRecord, resource: Resource) -> ReadableLogRecord:
    record = noted.record
    attributes: dict[str, Any] = {
        key: value if isinstance(value, bool | int | float) else str(value)[:LONGEST]
        for key, value in extra_fields(record).items()
    }
    if noted.correlation_id:
        attributes[Attributes.CORRELATION_ID] = noted.correlation_id
    if record.exc_info and record.exc_info[0] is not None:
        attributes["exception.type"] = record.exc_info[0].__name__
        attributes["exception.message"] = str(record.exc_info[1])[:LONGEST]
        attributes["exception.stacktrace"] = logging.Formatter().formatException(record.exc_info)[-LONGEST:]
    made = LogRecord(
        timestamp=int(record.created * 1e9),
        observed_timestamp=time.time_ns(),
        context=noted.context,
        severity_text=record.levelname,
        severity_number=_SEVERITIES.get(record.levelno, SeverityNumber.UNSPECIFIED),
        body=noted.message[:LONGEST],
        attributes=attributes,
    )
    return ReadableLogRecord(
        log_record=made, resource=resource, instrumentation_scope=InstrumentationScope(record.name)
    )
