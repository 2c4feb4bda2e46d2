"""What debug exports: log records and metrics, to a receiver that takes them, refuses them, or is not there."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.sdk.resources import Resource
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from milepost_service.correlation import correlation
from milepost_service.telemetry import log_queue, setup, tracer
from milepost_service.telemetry.counters import QUEUE_FULL, REFUSED, SHUTDOWN, ExportCounters
from milepost_service.telemetry.log_queue import LogQueue
from milepost_service.telemetry.otlp_debug import DebugExport
from milepost_service.telemetry.prometheus_bridge import metrics_data
from milepost_service.testing import free_port


class Receiver(logs_service_pb2_grpc.LogsServiceServicer):
    def __init__(self, code: grpc.StatusCode | None) -> None:
        self._code = code
        self.rejects = 0
        self.records: list[tuple[str, Any]] = []

    def Export(self, request: Any, context: Any) -> Any:
        if self._code is not None:
            context.abort(self._code, "not today")
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                self.records += [(scope.scope.name, record) for record in scope.log_records]
        partial = logs_service_pb2.ExportLogsPartialSuccess(rejected_log_records=self.rejects)
        return logs_service_pb2.ExportLogsServiceResponse(partial_success=partial)


@contextmanager
def receiving(
    monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode | None = None, port: int = 0
) -> Iterator[Receiver]:
    receiver = Receiver(code)
    server = grpc.server(ThreadPoolExecutor(2))
    add: Any = logs_service_pb2_grpc.add_LogsServiceServicer_to_server
    add(receiver, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", f"http://name:secret@127.0.0.1:{port}")
    try:
        yield receiver
    finally:
        server.stop(0).wait()


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent unless a test says where."""
    for name in ("ENDPOINT", "LOGS_ENDPOINT", "METRICS_ENDPOINT"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)


@pytest.fixture
def counters() -> ExportCounters:
    return ExportCounters()


@pytest.fixture
def logger(counters: ExportCounters) -> Iterator[logging.Logger]:
    """Its records go into `queue_of` and nowhere else."""
    logger = logging.Logger("milepost.test", logging.DEBUG)
    logger.addHandler(LogQueue(counters))
    yield logger


def queue_of(logger: logging.Logger) -> LogQueue:
    (queue,) = logger.handlers
    assert isinstance(queue, LogQueue)
    return queue


def export(logger: logging.Logger, counters: ExportCounters) -> None:
    """Sends what waits, as at the end of debug."""
    stop = threading.Event()
    stop.set()
    DebugExport("echo", list, queue_of(logger), stop, counters).run()


@contextmanager
def exporting(logger: logging.Logger, counters: ExportCounters) -> Iterator[None]:
    """Sends in a thread, as in debug."""
    stop = threading.Event()
    sent = DebugExport("echo", list, queue_of(logger), stop, counters)
    thread = threading.Thread(target=sent.run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        sent.abort()
        thread.join(30)
    assert not thread.is_alive()


@pytest.mark.requirement("OBS-1", "OBS-4")
def test_a_log_record_keeps_what_is_true_where_it_is_made(
    logger: logging.Logger, counters: ExportCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup("echo")
    with correlation("c"), tracer().start_as_current_span("call") as span:
        try:
            raise ValueError("no model")
        except ValueError:
            logger.exception("call %d failed", 7, extra={"duration_ms": 1.5, "peer": object})
    with receiving(monkeypatch) as receiver:
        export(logger, counters)
    ((scope, record),) = receiver.records
    attributes = {pair.key: pair.value for pair in record.attributes}
    assert (scope, record.body.string_value, record.severity_text) == ("milepost.test", "call 7 failed", "ERROR")
    assert record.trace_id.hex() == f"{span.get_span_context().trace_id:032x}"
    assert record.span_id.hex() == f"{span.get_span_context().span_id:016x}"
    assert attributes["correlation.id"].string_value == "c"
    assert attributes["duration_ms"].double_value == 1.5
    assert attributes["exception.type"].string_value == "ValueError"
    assert 'raise ValueError("no model")' in attributes["exception.stacktrace"].string_value
    assert (counters.exported, counters.dropped, counters.failure) == ({"logs": 1}, {}, "")


@pytest.mark.requirement("OBS-1")
def test_more_than_a_request_holds_arrives_in_order_and_sorted_by_logger(
    logger: logging.Logger, counters: ExportCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1200):
        logger.name = f"milepost.{number % 2}"
        logger.info("record %d", number)
    with receiving(monkeypatch) as receiver:
        export(logger, counters)
    assert counters.exported == {"logs": 1200}
    for which in (0, 1):
        told = [record.body.string_value for scope, record in receiver.records if scope == f"milepost.{which}"]
        assert told == [f"record {number}" for number in range(which, 1200, 2)]


@pytest.mark.requirement("OBS-5")
def test_what_a_receiver_refuses_is_counted_with_its_reason_and_without_the_credentials(
    logger: logging.Logger, counters: ExportCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        logger.info("lost")
    with receiving(monkeypatch, grpc.StatusCode.PERMISSION_DENIED), exporting(logger, counters):
        wait(lambda: bool(counters.dropped))
        failure = counters.failure
    assert counters.dropped == {("logs", REFUSED): 3}
    assert failure.startswith("logs: http://127.0.0.1:") and failure.endswith("PERMISSION_DENIED: not today")
    assert counters.failure == ""


@pytest.mark.requirement("OBS-5")
def test_what_a_receiver_takes_in_part_is_counted_in_part(
    logger: logging.Logger, counters: ExportCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        logger.info("old")
    with receiving(monkeypatch) as receiver:
        receiver.rejects = 2
        export(logger, counters)
    assert (counters.exported, counters.dropped) == ({"logs": 3}, {("logs", REFUSED): 2})


@pytest.mark.requirement("OBS-5")
def test_a_receiver_that_is_not_there_costs_only_what_does_not_fit(
    logger: logging.Logger, counters: ExportCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records wait for it as long as debug lasts; what is left then is counted."""
    monkeypatch.setattr(log_queue, "QUEUE", 5)
    for _ in range(8):
        logger.info("waits")
    port = free_port()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", f"http://127.0.0.1:{port}")
    with exporting(logger, counters):
        wait(lambda: bool(counters.failure))
        with receiving(monkeypatch, port=port) as receiver:
            wait(lambda: len(receiver.records) == 5)
            wait(lambda: counters.exported == {"logs": 5})
    assert counters.dropped == {("logs", QUEUE_FULL): 3}
    logger.info("too late")
    export(logger, counters)
    assert counters.dropped == {("logs", QUEUE_FULL): 3, ("logs", SHUTDOWN): 1}


@pytest.mark.requirement("OBS-5")
def test_nothing_is_dropped_where_nothing_is_to_be_sent(
    logger: logging.Logger, counters: ExportCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a receiver there is no loss."""
    monkeypatch.setattr(log_queue, "QUEUE", 2)
    logger.info("before")
    with exporting(logger, counters):
        for _ in range(5):
            logger.info("meanwhile")
    queue_of(logger).give_up()
    assert (counters.exported, counters.dropped) == ({}, {})


@pytest.mark.requirement("OBS-1")
def test_records_of_the_export_itself_make_no_more_of_them(logger: logging.Logger) -> None:
    queue = queue_of(logger)
    logger.name = "opentelemetry.exporter.otlp"
    logger.warning("cannot be sent")
    logger.name = "grpc._channel"
    logger.warning("broken")
    logger.name = "milepost"
    queue.own_thread = threading.current_thread()
    logger.warning("metrics are missing")
    assert queue.take(10) == []
    queue.own_thread = None
    logger.warning("heard")
    assert [noted.message for noted in queue.take(10)] == ["heard"]


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def families() -> Iterable[Metric]:
    yield GaugeMetricFamily("ready", "Whether it is.", value=True)
    calls = CounterMetricFamily("calls", "Calls.", labels=["code"])
    calls.add_metric(["OK"], 3)
    yield calls
    times = HistogramMetricFamily("seconds", "Times.", labels=["method"])
    times.add_metric(["Invoke"], [("0.1", 2), ("1.0", 2), ("+Inf", 5)], 40.5)
    yield times


@pytest.mark.requirement("OBS-1")
def test_the_metrics_of_prometheus_are_the_same_in_otlp() -> None:
    (resource,) = metrics_data(families(), Resource({"service.name": "echo"})).resource_metrics
    ready, calls, seconds = resource.scope_metrics[0].metrics
    assert [(each.name, type(each.data).__name__) for each in (ready, calls, seconds)] == [
        ("ready", "Gauge"),
        ("calls", "Sum"),
        ("seconds", "Histogram"),
    ]
    (point,) = calls.data.data_points
    assert (point.attributes, getattr(point, "value", None)) == ({"code": "OK"}, 3.0)
    (histogram,) = seconds.data.data_points
    assert vars(histogram) | {"start_time_unix_nano": 0, "time_unix_nano": 0, "exemplars": []} == {
        "attributes": {"method": "Invoke"},
        "start_time_unix_nano": 0,
        "time_unix_nano": 0,
        "count": 5,
        "sum": 40.5,
        "bucket_counts": [2, 0, 3],
        "explicit_bounds": [0.1, 1.0],
        "min": None,
        "max": None,
        "exemplars": [],
    }
