"""Metrics for Prometheus over HTTP: what every process that has some shares. Every value is taken when it is read."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from milepost_service.errors import ConfigurationError
from milepost_service.settings import split_address
from milepost_service.telemetry.conventions import Metrics
from milepost_service.telemetry.counters import ExportCounters, exports
from milepost_service.telemetry.resources import process_resources

_Combination = TypeVar("_Combination", bound=tuple[str, ...])


@contextlib.contextmanager
def served(collector: Collector, listen: str) -> Iterator[None]:
    """Answers HTTP at the address, in threads of its own: the collector's metrics, and what every process has.

    Raises:
        ConfigurationError: the address is in use, or none of this machine.
    """
    host, port = split_address(listen)
    try:
        server, thread = start_http_server(port, host.strip("[]"), registry_of(collector))
    except OSError as error:
        raise ConfigurationError(
            f"MILEPOST_METRICS_LISTEN: {listen}: {error.strerror}; allowed: a free port of a local address, or empty"
        ) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def registry_of(collector: Collector) -> CollectorRegistry:
    """The collector's metrics, and what every process has."""
    registry = CollectorRegistry(auto_describe=False)
    for each in (collector, ResourceMetrics(), ExportMetrics()):
        registry.register(each)
    ProcessCollector(registry=registry)
    return registry


def process_metrics() -> Iterator[Metric]:
    """What every process tells of itself, for those that export metrics rather than serve them."""
    yield from ResourceMetrics().collect()
    yield from ExportMetrics().collect()


class ResourceMetrics(Collector):
    """CPU and memory of the container, or of the process where it has none of its own (label `source`)."""

    def collect(self) -> Iterator[Metric]:
        reading = process_resources().read()
        yield self._counter(Metrics.CPU_SECONDS, "CPU time in seconds.", reading.source, reading.cpu_seconds)
        yield self._gauge(Metrics.MEMORY_BYTES, "Memory in use.", reading.source, reading.memory_bytes)
        if reading.source == "process":
            return
        throttled, kills = reading.throttled_periods, reading.oom_kills
        yield self._counter(
            Metrics.CPU_THROTTLED_PERIODS, "Periods in which the CPU limit was used up.", "cgroup", throttled
        )
        yield self._counter(Metrics.OOM_KILLS, "Processes killed for their memory.", "cgroup", kills)
        if reading.memory_limit_bytes:
            yield self._gauge(Metrics.MEMORY_LIMIT_BYTES, "Memory limit.", "cgroup", reading.memory_limit_bytes)
        if reading.cpu_limit_cores:
            yield self._gauge(Metrics.CPU_LIMIT_CORES, "CPU limit in cores.", "cgroup", reading.cpu_limit_cores)

    def _gauge(self, name: str, text: str, source: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, text, labels=["source"])
        family.add_metric([source], value)
        return family

    def _counter(self, name: str, text: str, source: str, value: float) -> Metric:
        family = CounterMetricFamily(name, text, labels=["source"])
        family.add_metric([source], value)
        return family


class ExportMetrics(Collector):
    """What became of the telemetry that was to be exported."""

    def __init__(self, counters: ExportCounters = exports) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        sent = {(signal,): number for signal, number in self._counters.exported.items()}
        yield counter_by(("signal",), Metrics.TELEMETRY_EXPORTED, "Items that the receiver took.", sent)
        lost = {("spans", "queue full"): 0, **self._counters.dropped}  # so that the first loss is a change
        yield counter_by(("signal", "reason"), Metrics.TELEMETRY_DROPPED, "Items that were given up.", lost)


def counter_by(labels: Sequence[str], name: str, text: str, values: Mapping[_Combination, int]) -> Metric:
    """A counter with one number for each combination of label values."""
    family = CounterMetricFamily(name, text, labels=labels)
    for combination, number in sorted(values.items()):
        family.add_metric(combination, number)
    return family


def add_classes(
    family: HistogramMetricFamily, labels: Sequence[str], bounds: Sequence[float], classes: Sequence[int], total: float
) -> None:
    """Adds numbers by class to a histogram; the last class holds what is over all bounds, `total` is the sum."""
    count = 0
    buckets: list[tuple[str, float]] = []
    for bound, number in zip((*map(str, bounds), "+Inf"), classes, strict=True):
        count += number
        buckets.append((bound, count))
    family.add_metric(labels, buckets=buckets, sum_value=total)
