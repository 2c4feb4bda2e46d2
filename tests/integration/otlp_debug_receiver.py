"""A real OTLP receiver over gRPC for what debug adds: takes log records and metrics, and remembers them."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc

from milepost_service.testing import free_port
from otlp_receiver import PATIENCE, service_of, serving

Item = TypeVar("Item")


@dataclass(frozen=True)
class ReceivedLog:
    """Times are in seconds since the epoch, ids are hexadecimal."""

    service: str
    logger: str
    time: float
    severity: str
    body: str
    trace_id: str
    span_id: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class ReceivedMetric:
    """The points of a metric that came together, as the protocol has them."""

    service: str
    name: str
    time: float
    kind: str
    points: tuple[Any, ...]


@dataclass
class DebugReceiver:
    """Listens at `endpoint`; refuses everything while `refuses`."""

    endpoint: str = field(default_factory=lambda: f"http://127.0.0.1:{free_port()}")
    refuses: bool = False
    logs: list[ReceivedLog] = field(default_factory=list)
    metrics: list[ReceivedMetric] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def wait_log(self, wanted: Callable[[ReceivedLog], bool]) -> ReceivedLog:
        return self._wait(self.logs, wanted)

    def wait_metric(self, wanted: Callable[[ReceivedMetric], bool]) -> ReceivedMetric:
        return self._wait(self.metrics, wanted)

    def _wait(self, items: list[Item], wanted: Callable[[Item], bool]) -> Item:
        deadline = time.monotonic() + PATIENCE
        with self.news:
            while True:
                for item in items:
                    if wanted(item):
                        return item
                left = deadline - time.monotonic()
                assert left > 0, f"it did not come; what did: {items[-20:]}"
                self.news.wait(left)


class _Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def __init__(self, receiver: DebugReceiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:
        _refuse(self._receiver, context)
        with self._receiver.news:
            for resource in request.resource_logs:
                for scope in resource.scope_logs:
                    for record in scope.log_records:
                        self._receiver.logs.append(_log(service_of(resource), scope.scope.name, record))
            self._receiver.news.notify_all()
        return logs_service_pb2.ExportLogsServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, receiver: DebugReceiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:
        _refuse(self._receiver, context)
        with self._receiver.news:
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        self._receiver.metrics.append(_metric(service_of(resource), metric))
            self._receiver.news.notify_all()
        return metrics_service_pb2.ExportMetricsServiceResponse()


@contextmanager
def receiving_debug() -> Iterator[DebugReceiver]:
    """A receiver that listens."""
    receiver = DebugReceiver()
    add_logs: Any = logs_service_pb2_grpc.add_LogsServiceServicer_to_server
    add_metrics: Any = metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server

    def add_servicers(server: grpc.Server) -> None:
        add_logs(_Logs(receiver), server)
        add_metrics(_Metrics(receiver), server)

    with serving(receiver.endpoint, add_servicers):
        yield receiver


def _refuse(receiver: DebugReceiver, context: Any) -> None:
    if receiver.refuses:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not today")


def _log(service: str, logger: str, record: Any) -> ReceivedLog:
    return ReceivedLog(
        service=service,
        logger=logger,
        time=record.time_unix_nano / 1e9,
        severity=record.severity_text,
        body=record.body.string_value,
        trace_id=record.trace_id.hex(),
        span_id=record.span_id.hex(),
        attributes={pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in record.attributes},
    )


def _metric(service: str, metric: Any) -> ReceivedMetric:
    kind = metric.WhichOneof("data")
    points = tuple(getattr(metric, kind).data_points)
    return ReceivedMetric(service, metric.name, points[0].time_unix_nano / 1e9, kind, points)
