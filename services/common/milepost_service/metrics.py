"""The metrics of a service: its calls, what it works on, and what it uses."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from milepost_service import prometheus
from milepost_service.serving_stats import BOUNDS, ServingStats
from milepost_service.telemetry.conventions import Metrics
from milepost_service.telemetry.resources import Reading, process_resources
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
        yield prometheus.counter_by(("method", "code"), Metrics.CALLS, "Calls that ended.", stats.ended)
        yield self._times()
        yield GaugeMetricFamily(Metrics.CALLS_ACTIVE, "Calls that are worked on.", value=load.active)
        yield GaugeMetricFamily(Metrics.CALLS_QUEUED, "Calls that wait for their turn.", value=load.queued)
        yield from _resources(process_resources().read())
        yield from self._engine()

    def _times(self) -> Metric:
        family = HistogramMetricFamily(Metrics.CALL_SECONDS, "Time of a call, waiting included.", labels=["method"])
        for method, times in list(self._stats.times.items()):
            prometheus.add_classes(family, (method,), BOUNDS, list(times.classes), times.seconds)
        return family


def _resources(reading: Reading) -> Iterator[Metric]:
    def gauge(name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, text, labels=["source"])
        family.add_metric([reading.source], value)
        return family

    def counter(name: str, text: str, value: float) -> Metric:
        family = CounterMetricFamily(name, text, labels=["source"])
        family.add_metric([reading.source], value)
        return family

    yield counter(Metrics.CPU_SECONDS, "CPU time of the container, or of the process.", reading.cpu_seconds)
    yield gauge(Metrics.MEMORY_BYTES, "Memory of the container, or of the process.", reading.memory_bytes)
    if reading.source == "cgroup":
        yield counter(
            Metrics.CPU_THROTTLED_PERIODS, "Periods in which the CPU limit was used up.", reading.throttled_periods
        )
        yield counter(Metrics.OOM_KILLS, "Processes killed for their memory.", reading.oom_kills)
    if reading.memory_limit_bytes:
        yield gauge(Metrics.MEMORY_LIMIT_BYTES, "Memory limit of the container.", reading.memory_limit_bytes)
    if reading.cpu_limit_cores:
        yield gauge(Metrics.CPU_LIMIT_CORES, "CPU limit of the container.", reading.cpu_limit_cores)
