"""Export of spans: what the standard variables say, and a queue that never blocks, whatever the receiver does."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import TracerProvider

from milepost_service.telemetry import span_export as export_module
from milepost_service.telemetry.connection import Answer, Connection
from milepost_service.telemetry.counters import QUEUE_FULL, REFUSED, SHUTDOWN, ExportCounters
from milepost_service.telemetry.destination import Destination, UnusableDestination, destination
from milepost_service.telemetry.span_export import SpanExport
from milepost_service.testing import free_port

GENERAL = "OTEL_EXPORTER_OTLP_"


@pytest.mark.requirement("OBS-2")
@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"ENDPOINT": ""}, None),
        ({"ENDPOINT": "http://collector:4317"}, ("collector:4317", False, "http://collector:4317")),
        ({"ENDPOINT": "https://collector"}, ("collector:4317", True, "https://collector:4317")),
        ({"ENDPOINT": "http://u:secret@[::1]:99/x"}, ("[::1]:99", False, "http://[::1]:99")),
        ({"ENDPOINT": "collector:4317"}, ("collector:4317", True, "https://collector:4317")),
        ({"ENDPOINT": "collector:4317", "INSECURE": "true"}, ("collector:4317", False, "http://collector:4317")),
        ({"ENDPOINT": "http://a:1", "TRACES_ENDPOINT": "http://b:2"}, ("b:2", False, "http://b:2")),
    ],
)
def test_the_standard_variables_say_where_spans_go(
    environ: dict[str, str], expected: tuple[str, bool, str] | None
) -> None:
    """Nothing by default; the variable of the signal before the general one; no credentials in what is shown."""
    found = destination("traces", {GENERAL + key: value for key, value in environ.items()})
    assert (None if found is None else (found.target, found.secure, found.endpoint)) == expected


def test_headers_timeout_and_compression_are_read_too() -> None:
    environ = {"ENDPOINT": "http://a:1", "HEADERS": "X-Key=a%20b, y=z=", "TRACES_TIMEOUT": "2.5", "COMPRESSION": "gzip"}
    found = destination("traces", {GENERAL + key: value for key, value in environ.items()})
    assert found is not None
    assert (found.headers, found.timeout, found.gzip) == ((("x-key", "a b"), ("y", "z=")), 2.5, True)


@pytest.mark.parametrize("environ", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_export_can_be_turned_off_by_the_standard_variables(environ: dict[str, str]) -> None:
    assert destination("traces", {f"{GENERAL}ENDPOINT": "http://a:1", **environ}) is None


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("PROTOCOL", "http/protobuf", "allowed: grpc"),
        ("ENDPOINT", "ftp://me:secret@a", "'a' is no address"),
        ("ENDPOINT", "http://a:b", "is no address"),
        ("TIMEOUT", "soon", "allowed: seconds"),
        ("TIMEOUT", "-1", "allowed: seconds"),
        ("HEADERS", "novalue", "allowed: KEY=VALUE"),
        ("COMPRESSION", "zip", "allowed: none, gzip"),
        ("CERTIFICATE", "/nowhere", "is not a file that is there"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_in_one_line(key: str, value: str, words: str) -> None:
    with pytest.raises(UnusableDestination) as caught:
        destination("traces", {f"{GENERAL}ENDPOINT": "http://a:1", GENERAL + key: value})
    assert str(caught.value).startswith(GENERAL + key) and words in str(caught.value)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Counts what it takes; `answer` may delay or refuse a request, or return an answer of its own."""

    def __init__(self) -> None:
        self.spans = 0
        self.answer: Callable[[Any], Any] = lambda context: None

    def Export(self, request: Any, context: Any) -> Any:
        answer = self.answer(context)
        self.spans += sum(len(scope.spans) for each in request.resource_spans for scope in each.scope_spans)
        return answer or trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def receiving(port: int, receiver: Receiver) -> Iterator[None]:
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield
    finally:
        server.stop(0).wait()


@contextmanager
def exporting(port: int, timeout: float = 5.0) -> Iterator[tuple[SpanExport, ExportCounters, Callable[[int], None]]]:
    """An export, its counters, and what makes so many spans."""
    place = Destination(f"http://127.0.0.1:{port}", f"127.0.0.1:{port}", False, timeout=timeout)
    counters = ExportCounters()
    export = SpanExport(Connection(place), counters)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(export)
    tracer = provider.get_tracer("test")

    def make(number: int) -> None:
        for _ in range(number):
            tracer.start_span("work").end()

    try:
        yield export, counters, make
    finally:
        export.shutdown()


@pytest.mark.requirement("OBS-5")
def test_spans_arrive_in_batches_and_are_counted() -> None:
    receiver, port = Receiver(), free_port()
    with receiving(port, receiver), exporting(port) as (export, counters, make):
        make(1300)
        assert export.force_flush(20_000)
        assert (receiver.spans, counters.exported, counters.dropped, counters.failure) == (
            1300,
            {"spans": 1300},
            {},
            "",
        )


@pytest.mark.requirement("OBS-5")
def test_a_receiver_that_is_down_costs_only_what_does_not_fit_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans wait for it; the newest are dropped and counted when the queue is full; then all that waited arrives."""
    monkeypatch.setattr(export_module, "QUEUE", 100)
    receiver, port = Receiver(), free_port()
    with exporting(port) as (export, counters, make):
        make(150)
        assert counters.dropped == {("spans", QUEUE_FULL): 50}
        wait(lambda: bool(counters.failure))
        assert "UNAVAILABLE" in counters.failure
        with receiving(port, receiver):
            assert export.force_flush(30_000)
        assert receiver.spans == counters.exported["spans"] == 100
        assert counters.failure == ""


@pytest.mark.requirement("OBS-5")
def test_what_a_receiver_refuses_for_good_is_counted_and_not_sent_again() -> None:
    def refuse(context: Any) -> None:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no\nsuch thing")

    receiver, port = Receiver(), free_port()
    receiver.answer = refuse
    with receiving(port, receiver), exporting(port) as (export, counters, make):
        make(3)
        assert export.force_flush(20_000)
        assert (receiver.spans, counters.dropped) == (0, {("spans", REFUSED): 3})
        assert counters.failure.endswith("INVALID_ARGUMENT: no such thing")


@pytest.mark.requirement("OBS-5")
def test_what_a_receiver_takes_in_part_is_counted_in_part() -> None:
    partial = trace_service_pb2.ExportTracePartialSuccess(rejected_spans=2, error_message="too old")
    receiver, port = Receiver(), free_port()
    receiver.answer = lambda context: trace_service_pb2.ExportTraceServiceResponse(partial_success=partial)
    with receiving(port, receiver), exporting(port) as (export, counters, make):
        make(5)
        assert export.force_flush(20_000)
        assert (counters.exported, counters.dropped) == ({"spans": 3}, {("spans", REFUSED): 2})


@pytest.mark.requirement("OBS-5")
def test_the_end_of_the_process_does_not_wait_for_a_receiver_that_never_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was queued is counted as dropped; spans that end later too."""
    monkeypatch.setattr(export_module, "STOP_SECONDS", 0.3)
    receiver, port, free = Receiver(), free_port(), threading.Event()
    receiver.answer = lambda context: free.wait(60) and None
    with receiving(port, receiver), exporting(port, timeout=60) as (export, counters, make):
        make(600)
        export.shutdown()
        assert counters.dropped == {("spans", SHUTDOWN): 600}
        make(1)
        assert counters.dropped == {("spans", SHUTDOWN): 601}
        free.set()


def test_a_request_that_is_too_large_is_not_sent_for_ever() -> None:
    def refuse(context: Any) -> None:
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (9 vs. 4)")

    receiver, port = Receiver(), free_port()
    receiver.answer = refuse
    connection = Connection(Destination(f"http://127.0.0.1:{port}", f"127.0.0.1:{port}", False))
    with receiving(port, receiver):
        answer = connection.send(b"")
        connection.close()
    assert (answer.again, answer.refused) == (False, True)
    assert connection.send(b"") == Answer(again=True, failure="stopped")


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
