"""Metrics for Prometheus over HTTP: what every process that has some shares. Every value is taken when it is read."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from milepost_service.errors import ConfigurationError
from milepost_service.settings import split_address

_Combination = TypeVar("_Combination", bound=tuple[str, ...])


@contextlib.contextmanager
def served(collector: Collector, listen: str) -> Iterator[None]:
    """Answers HTTP at the address, in threads of its own, with the collector's metrics and those of the process.

    Raises:
        ConfigurationError: the address is in use, or none of this machine.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)
    host, port = split_address(listen)
    try:
        server, thread = start_http_server(port, host.strip("[]"), registry)
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
