"""The metrics of an agent for Prometheus, over HTTP. Every value is taken when it is read."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Final, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from milepost_agent.conversion import OUTCOMES
from milepost_agent.counts import DECISION_VERDICTS, Counts
from milepost_agent.errors import StoreError
from milepost_agent.router.recommendation import Path as AnswerPath
from milepost_agent.store import COMMIT_BOUNDS, Counters, Store
from milepost_service.prometheus import add_classes, counter_by
from milepost_service.serving_stats import BOUNDS
from milepost_service.telemetry.conventions import Metrics as Name

QUERY_SECONDS: Final = 2.0
STATES: Final = ("accepted", "running", "waiting", "ended")


class Metrics(Collector):
    """Reads on the thread of whoever asks; queries of the store go through its loop."""

    def __init__(self, counts: Counts, loop: asyncio.AbstractEventLoop) -> None:
        self._counts = counts
        self._store: Store | None = None
        self._loop = loop

    def show(self, store: Store) -> None:
        """Shows what this store holds and does from now on."""
        self._store = store

    def collect(self) -> Iterator[Metric]:
        writable = self._store is not None and self._store.failure is None
        yield GaugeMetricFamily(Name.STORE_WRITABLE, "1 while the store takes writes, else 0.", value=writable)
        yield _by("reason", Name.STORE_FAILURES, "Times that the store failed.", self._counts.failures)
        ended = {**dict.fromkeys(OUTCOMES, 0), **self._counts.ended}  # so that the first of its kind is a change
        yield _by("outcome", Name.RUNS_ENDED, "Runs that ended.", ended)
        yield CounterMetricFamily(
            Name.RUN_RECOVERIES, "Times that a run went on after it was stopped.", value=self._counts.recoveries
        )
        paths = {**dict.fromkeys(get_args(AnswerPath), 0), **self._counts.recommendations}
        yield _by("path", Name.ROUTER_RECOMMENDATIONS, "Recommendations of the router.", paths)
        yield _router_seconds(self._counts)
        verdicts = {**dict.fromkeys(DECISION_VERDICTS, 0), **self._counts.decisions}
        yield _by("verdict", Name.DECISIONS, "Decisions of the arbitrator.", verdicts)
        yield CounterMetricFamily(
            Name.BACKUP_FAILURES,
            "Backups that could not be made or did not verify.",
            value=self._counts.backup_failures,
        )
        yield GaugeMetricFamily(
            Name.TELEMETRY_LAG, "Events whose spans are still to be exported.", value=self._counts.lag()
        )
        if self._counts.last_backup is not None:
            yield GaugeMetricFamily(
                Name.BACKUP_LAST_SUCCESS,
                "When the newest verified backup was made.",
                value=self._counts.last_backup,
            )
        if self._store is not None:
            yield from self._state(self._store)

    def _state(self, store: Store) -> Iterator[Metric]:
        size, log = store.sizes()
        yield CounterMetricFamily(Name.STORE_COMMITS, "Commits.", value=store.counters.commits)
        yield CounterMetricFamily(Name.STORE_ITEMS, "Writes that were committed.", value=store.counters.items)
        yield GaugeMetricFamily(Name.STORE_SIZE_BYTES, "Size of the database file.", value=size)
        yield GaugeMetricFamily(Name.STORE_WAL_BYTES, "Size of its write-ahead log.", value=log)
        yield _commit_seconds(store.counters)
        removed = store.retention_counters
        yield CounterMetricFamily(Name.RETENTION_RUNS, "Ended runs that retention removed.", value=removed.removed_runs)
        yield CounterMetricFamily(
            Name.RETENTION_RELEASED_BYTES, "Given back to the disk.", value=removed.released_bytes
        )
        # A store that is just being opened again does not answer in time; the rest is told all the same.
        with contextlib.suppress(StoreError, TimeoutError):
            counts = asyncio.run_coroutine_threadsafe(store.count_runs(), self._loop).result(QUERY_SECONDS)
            runs = GaugeMetricFamily(Name.RUNS, "Runs in the store.", labels=["state"])
            for state in sorted({*STATES, *counts}):
                runs.add_metric([state], counts.get(state, 0))
            yield runs


def _by(label: str, name: str, text: str, values: Mapping[str, int]) -> Metric:
    return counter_by((label,), name, text, {(value,): number for value, number in values.items()})


def _router_seconds(counts: Counts) -> Metric:
    family = HistogramMetricFamily(
        Name.ROUTER_SECONDS, "Time of a recommendation, of paths that failed before too.", labels=["path"]
    )
    for path, times in list(counts.recommendation_times.items()):
        add_classes(family, (path,), BOUNDS, list(times.classes), times.seconds)
    return family


def _commit_seconds(counters: Counters) -> Metric:
    family = HistogramMetricFamily(
        Name.STORE_COMMIT_SECONDS, "Time that a commit took until it was on the disk.", labels=[]
    )
    add_classes(family, (), COMMIT_BOUNDS, counters.commit_classes, counters.commit_seconds)
    return family
