"""Prometheus' metrics as OpenTelemetry's, so that each metric is defined once."""

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final, cast

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.core import Metric as Family
from prometheus_client.samples import Sample

from milepost_service.telemetry.conventions import SCHEMA_URL

_START: Final = time.time_ns()
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_UNKNOWN: Final = cast(float, None)  # the exporter leaves it out then
_SCOPE: Final = InstrumentationScope("milepost", schema_url=SCHEMA_URL)


def metrics_data(families: Iterable[Family], resource: Resource) -> MetricsData:
    """All families at this moment. Counters become sums, histograms stay, everything else becomes gauges."""
    now = time.time_ns()
    metrics = [metric for family in families for metric in _metrics(family, now)]
    scope = ScopeMetrics(_SCOPE, metrics, SCHEMA_URL)
    return MetricsData([ResourceMetrics(resource, [scope], resource.schema_url)])


def _metrics(family: Family, now: int) -> Iterator[Metric]:
    samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
    if not samples:
        return
    if family.type == "counter":
        data = Sum([_number(sample, now) for sample in samples], _CUMULATIVE, is_monotonic=True)
        yield Metric(family.name, family.documentation, family.unit, data)
    elif family.type == "histogram":
        yield Metric(family.name, family.documentation, family.unit, Histogram(_histograms(samples, now), _CUMULATIVE))
    else:
        by_name: dict[str, list[NumberDataPoint]] = defaultdict(list)
        for sample in samples:
            by_name[sample.name].append(_number(sample, now))
        for name, points in by_name.items():
            yield Metric(name, family.documentation, family.unit, Gauge(points))


def _number(sample: Sample, now: int) -> NumberDataPoint:
    return NumberDataPoint(dict(sample.labels), _START, now, float(sample.value))


def _histograms(samples: Iterable[Sample], now: int) -> list[HistogramDataPoint]:
    """One for each set of labels. Prometheus counts what is below each bound, OpenTelemetry what is between two."""
    buckets: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = defaultdict(list)
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in samples:
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        if sample.name.endswith("_bucket"):
            buckets[labels].append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    return [_histogram(dict(labels), sorted(found), sums.get(labels, 0.0), now) for labels, found in buckets.items()]


def _histogram(
    labels: dict[str, str], buckets: list[tuple[float, float]], total: float, now: int
) -> HistogramDataPoint:
    below = [0.0, *(count for _, count in buckets)]
    return HistogramDataPoint(
        attributes=labels,
        start_time_unix_nano=_START,
        time_unix_nano=now,
        count=int(below[-1]),
        sum=total,
        bucket_counts=[int(count - before) for before, count in pairwise(below)],
        explicit_bounds=[bound for bound, _ in buckets if math.isfinite(bound)],
        min=_UNKNOWN,
        max=_UNKNOWN,
    )
