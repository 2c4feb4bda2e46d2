"""What the operator counts, under the names of client-go and controller-runtime, so that existing dashboards fit."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from milepost_operator.workqueue import Priority, WorkQueue

QUEUE = "milepost"
CONTROLLERS = ("agentworkflow", "modelservice")
_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

ConditionRow = tuple[str, str, str, str, str]
"""Kind, namespace, name, condition, status."""


class Metrics:
    """Every metric of one operator, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "rest_client_requests", "Requests to the API server.", ["code", "method"], registry=self.registry
        )
        self.reconciles = Counter(
            "controller_runtime_reconcile", "Reconciliations.", ["controller", "result"], registry=self.registry
        )
        self.errors = Counter(
            "controller_runtime_reconcile_errors", "Failed ones.", ["controller"], registry=self.registry
        )
        self.seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Time of one reconciliation.",
            ["controller"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.active_workers = Gauge(
            "controller_runtime_active_workers", "Busy workers.", ["controller"], registry=self.registry
        )
        self.max_concurrent = Gauge(
            "controller_runtime_max_concurrent_reconciles", "Workers.", ["controller"], registry=self.registry
        )
        self.leading = Gauge(
            "leader_election_master_status", "1 while this operator leads.", ["name"], registry=self.registry
        )
        self.repairs = Counter(
            "milepost_child_repairs", "Children put right after someone changed them.", ["kind"], registry=self.registry
        )
        for controller in CONTROLLERS:
            self.errors.labels(controller)
            self.active_workers.labels(controller)

    def count_request(self, code: str, method: str) -> None:
        """One request to the API server and how it ended."""
        self._requests.labels(code, method).inc()

    def watch_queue(self, queue: WorkQueue[Any]) -> None:
        """Shows what is in the queue whenever the metrics are read."""
        self.registry.register(_QueueState(queue))

    def show_conditions(self, rows: Callable[[], Iterable[ConditionRow]]) -> None:
        """Shows the conditions of all resources whenever the metrics are read."""
        self.registry.register(_Conditions(rows))

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


class QueueMetrics:
    """Tells the workqueue_* metrics what happens in a queue."""

    def __init__(self, metrics: Metrics) -> None:
        registry = metrics.registry
        self._adds = Counter("workqueue_adds", "Keys added.", ["name"], registry=registry).labels(QUEUE)
        self._retries = Counter("workqueue_retries", "Keys put back.", ["name"], registry=registry).labels(QUEUE)
        self._waited = Histogram(
            "workqueue_queue_duration_seconds", "Time in the queue.", ["name"], buckets=_SECONDS, registry=registry
        ).labels(QUEUE)
        self._worked = Histogram(
            "workqueue_work_duration_seconds", "Time of the work.", ["name"], buckets=_SECONDS, registry=registry
        ).labels(QUEUE)

    def added(self) -> None:
        """A key began to wait."""
        self._adds.inc()

    def taken(self, waited: float) -> None:
        """A worker took a key that had waited so many seconds."""
        self._waited.observe(waited)

    def finished(self, worked: float) -> None:
        """A worker was done after so many seconds."""
        self._worked.observe(worked)

    def retried(self) -> None:
        """A key was put back."""
        self._retries.inc()


class _QueueState(Collector):
    def __init__(self, queue: WorkQueue[Any]) -> None:
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("workqueue_depth", "Keys that wait.", labels=["name", "priority"])
        for priority in Priority:
            depth.add_metric([QUEUE, priority.name.lower()], self._queue.depth(priority))
        yield depth
        running = self._queue.running_seconds()
        for name, text, value in (
            ("workqueue_unfinished_work_seconds", "Seconds of work that is not done.", sum(running)),
            ("workqueue_longest_running_processor_seconds", "Longest of them.", max(running, default=0.0)),
        ):
            family = GaugeMetricFamily(name, text, labels=["name"])
            family.add_metric([QUEUE], value)
            yield family


class _Conditions(Collector):
    def __init__(self, rows: Callable[[], Iterable[ConditionRow]]) -> None:
        self._rows = rows

    def collect(self) -> Iterator[Metric]:
        labels = ["kind", "namespace", "name", "condition", "status"]
        family = GaugeMetricFamily("milepost_resource_condition", "Conditions that resources are in.", labels=labels)
        for row in self._rows():
            family.add_metric(row, 1)
        yield family
