"""What debug adds: the log records and the metrics of the process over OTLP, from one thread that nobody waits for."""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import get_current
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import Resource
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from milepost_service import telemetry
from milepost_service.correlation import current_correlation_id
from milepost_service.logs import extra_fields
from milepost_service.telemetry.conventions import Attributes, Metrics
from milepost_service.telemetry.counters import QUEUE_FULL, REFUSED, SHUTDOWN, Signal, exports
from milepost_service.telemetry.prometheus_bridge import metrics_data
from milepost_service.telemetry.resources import ResourceReader

METRICS_SECONDS: Final = 10.0
LOGS_SECONDS: Final = 0.5
"""How long a log record waits for others."""
QUEUE: Final = 2048
BATCH: Final = 512
LONGEST: Final = 16384
"""Characters of a message or of a field that are sent."""
EXPORT_SECONDS: Final = 5.0
"""How long one export may take, with all its tries."""

_GENERAL: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_SEVERITIES: Final = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}
_log = logging.getLogger(__name__)


def endpoint(signal: Signal) -> str:
    """Where the environment has it sent; empty when nowhere."""
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT") or os.environ.get(_GENERAL, "")


class LogQueue(LogRecordProcessor):
    """Keeps log records until they are sent; a full queue drops what comes, and counts it."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._records: deque[ReadableLogRecord] = deque()
        self._lock = threading.Lock()

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        record = ReadableLogRecord(
            log_record=log_record.log_record,
            resource=log_record.resource or self._resource,
            instrumentation_scope=log_record.instrumentation_scope,
        )
        with self._lock:
            is_full = len(self._records) >= QUEUE
            if not is_full:
                self._records.append(record)
        if is_full:
            exports.gave_up("logs", 1, QUEUE_FULL)

    def take(self, most: int = BATCH) -> list[ReadableLogRecord]:
        with self._lock:
            return [self._records.popleft() for _ in range(min(most, len(self._records)))]

    def shutdown(self) -> None:
        """What is still here is given up."""
        exports.gave_up("logs", len(self.take(QUEUE)), SHUTDOWN)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


class OtlpHandler(logging.Handler):
    """Turns the log records of the process into OpenTelemetry's, but for those of the export itself."""

    def __init__(self, provider: LoggerProvider, own_thread: int) -> None:
        super().__init__(logging.DEBUG)
        self._provider = provider
        self._own_thread = own_thread

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._own_thread or record.name.startswith("opentelemetry"):
            return
        try:
            self._provider.get_logger(record.name).emit(_log_record(record))
        except Exception:
            self.handleError(record)


class DebugExport:
    """Sends logs and metrics from the thread that calls `run`, until it is stopped."""

    def __init__(
        self,
        name: str,
        sources: Callable[[], Sequence[Callable[[], Iterable[Metric]]]],
        stop: threading.Event,
    ) -> None:
        self._sources = sources
        self._stop = stop
        self._resource = telemetry.setup(name).resource
        self._reader = ResourceReader()
        self._queue = LogQueue(self._resource)
        self._logs = OTLPLogExporter(timeout=EXPORT_SECONDS) if endpoint("logs") else None
        self._metrics = OTLPMetricExporter(timeout=EXPORT_SECONDS) if endpoint("metrics") else None
        self._open = [exporter for exporter in (self._logs, self._metrics) if exporter is not None]

    def run(self) -> None:
        """Returns when it was stopped and what was queued is sent, or cannot be."""
        provider = LoggerProvider(resource=self._resource, shutdown_on_exit=False)
        provider.add_log_record_processor(self._queue)
        handler = OtlpHandler(provider, threading.get_ident())
        if self._logs is not None:
            logging.getLogger().addHandler(handler)
        try:
            self._work()
        finally:
            logging.getLogger().removeHandler(handler)
            self._send_logs()
            self._queue.shutdown()
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
        while self._logs is not None and (batch := self._queue.take()):
            if not _count("logs", len(batch), self._logs.export(batch) is LogRecordExportResult.SUCCESS):
                return

    def _send_metrics(self, exporter: OTLPMetricExporter) -> None:
        data = metrics_data(self._families(), self._resource)
        points = sum(
            len(metric.data.data_points)
            for each in data.resource_metrics
            for scope in each.scope_metrics
            for metric in scope.metrics
        )
        _count("metrics", points, exporter.export(data) is MetricExportResult.SUCCESS)

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


def _count(signal: Signal, number: int, sent: bool) -> bool:
    if sent:
        exports.sent(signal, number)
    else:
        exports.gave_up(signal, number, REFUSED, f"{endpoint(signal)} does not take them")
    return sent


def _log_record(record: logging.LogRecord) -> LogRecord:
    attributes: dict[str, Any] = {
        key: value if isinstance(value, bool | int | float) else str(value)[:LONGEST]
        for key, value in extra_fields(record).items()
    }
    if correlation_id := current_correlation_id():
        attributes[Attributes.CORRELATION_ID] = correlation_id
    if record.exc_info and record.exc_info[0] is not None:
        attributes["exception.type"] = record.exc_info[0].__name__
        attributes["exception.message"] = str(record.exc_info[1])[:LONGEST]
        attributes["exception.stacktrace"] = logging.Formatter().formatException(record.exc_info)[-LONGEST:]
    return LogRecord(
        timestamp=int(record.created * 1e9),
        observed_timestamp=time.time_ns(),
        context=get_current(),
        severity_text=record.levelname,
        severity_number=_SEVERITIES.get(record.levelno, SeverityNumber.UNSPECIFIED),
        body=record.getMessage()[:LONGEST],
        attributes=attributes,
    )
