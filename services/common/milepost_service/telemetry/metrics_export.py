"""Sends the metrics of the process, those that Prometheus would read, as OpenTelemetry's."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from milepost_service import telemetry
from milepost_service.telemetry.connection import Answer, Connection, Report
from milepost_service.telemetry.conventions import Metrics
from milepost_service.telemetry.counters import ExportCounters, exports
from milepost_service.telemetry.prometheus_bridge import metrics_data
from milepost_service.telemetry.resources import ResourceReader

INTERVAL: Final = 10.0
"""Seconds between two requests."""
Sources = Callable[[], Sequence[Callable[[], Iterable[Metric]]]]

_log = logging.getLogger(__name__)


class MetricsExport:
    """What a receiver does not take now is not sent again: later values take its place. For one thread."""

    def __init__(self, name: str, sources: Sources, connection: Connection, counters: ExportCounters = exports) -> None:
        self._resource = telemetry.resource(name)
        self._sources = sources
        self._connection = connection
        self._report = Report("metrics", counters)
        self._reader = ResourceReader()
        self._due = 0.0

    def send_if_due(self) -> None:
        """Sends all metrics as they are now, unless that was done within the last `INTERVAL`."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + INTERVAL
        data = metrics_data(self._families(), self._resource)
        points = sum(
            len(metric.data.data_points)
            for each in data.resource_metrics
            for scope in each.scope_metrics
            for metric in scope.metrics
        )
        answer = self._connection.send(encode_metrics(data).SerializeToString())
        self._report.settled(points, Answer(refused=True, failure=answer.failure) if answer.again else answer)

    def close(self) -> None:
        """Ends a request that is under way, and all later ones."""
        self._connection.close()

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
