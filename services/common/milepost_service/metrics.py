"""The metrics of a service: its calls, and what it works on."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from milepost_service.prometheus import add_classes, counter_by
from milepost_service.serving_stats import BOUNDS, ServingStats
from milepost_service.telemetry.conventions import Metrics
from milepost_service.usage import Load

Engine = Callable[[], Iterable[Metric]]
"""What the engine of a service has to tell besides."""


class ServiceMetrics(Collector):
    """Reads on the threads of the HTTP server."""

    def __init__(self, stats: ServingStats, load: Callable[[], Load], engine: Engine) -> None:
        self._stats = stats
        self._load = load
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        stats, load = self._stats, self._load()
        yield GaugeMetricFamily(
            Metrics.SERVICE_READY, "1 while the service is ready for calls, else 0.", value=stats.ready
        )
        yield counter_by(("method", "code"), Metrics.CALLS, "Calls that ended.", stats.ended)
        yield self._times()
        yield GaugeMetricFamily(Metrics.CALLS_ACTIVE, "Calls that are worked on.", value=load.active)
        yield GaugeMetricFamily(Metrics.CALLS_QUEUED, "Calls that wait for their turn.", value=load.queued)
        yield from self._engine()

    def _times(self) -> Metric:
        family = HistogramMetricFamily(Metrics.CALL_SECONDS, "Time of a call, waiting included.", labels=["method"])
        for method, times in list(self._stats.times.items()):
            add_classes(family, (method,), BOUNDS, list(times.classes), times.seconds)
        return family
