"""A real OTLP receiver over gRPC for tests: takes spans, and remembers them with the attributes of their resource."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from milepost_service.testing import free_port

PATIENCE = 60.0
add_spans: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came; ids are hexadecimal, the parent's is empty at the root, times are in nanoseconds."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    status: int
    events: tuple[str, ...]
    start: int
    end: int


class OtlpReceiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Listens at `endpoint`; keeps every span of a request that `admit` lets through."""

    def __init__(self) -> None:
        self.admit: Callable[[Any], None] = lambda context: None
        self.endpoint = f"http://127.0.0.1:{free_port()}"
        self._spans: list[ReceivedSpan] = []
        self._news = threading.Condition()

    def Export(self, request: Any, context: Any) -> trace_service_pb2.ExportTraceServiceResponse:
        self.admit(context)
        received = list(_spans_of(request))
        with self._news:
            self._spans += received
            self._news.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self) -> list[ReceivedSpan]:
        """What came so far, in order of arrival."""
        with self._news:
            return list(self._spans)

    def wait_for(self, enough: Callable[[list[ReceivedSpan]], bool]) -> list[ReceivedSpan]:
        """All spans as soon as they are enough; AssertionError with their names when they never are."""
        deadline = time.monotonic() + PATIENCE
        with self._news:
            while not enough(self._spans):
                left = deadline - time.monotonic()
                assert left > 0, f"not enough spans: {[(span.service, span.name) for span in self._spans]}"
                self._news.wait(left)
            return list(self._spans)


@contextmanager
def receiving(receiver: OtlpReceiver | None = None) -> Iterator[OtlpReceiver]:
    """A receiver that listens; a new one, unless one is given."""
    receiver = receiver or OtlpReceiver()
    with serving(receiver.endpoint, lambda server: add_spans(receiver, server)):
        yield receiver


@contextmanager
def serving(endpoint: str, add_servicers: Callable[[grpc.Server], None]) -> Iterator[None]:
    """A gRPC server at an endpoint."""
    server = grpc.server(ThreadPoolExecutor(4))
    add_servicers(server)
    server.add_insecure_port(endpoint.removeprefix("http://"))
    server.start()
    try:
        yield
    finally:
        server.stop(0).wait()


def _spans_of(request: Any) -> Iterator[ReceivedSpan]:
    for resource in request.resource_spans:
        service = service_of(resource)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    service=service,
                    name=span.name,
                    kind=span.kind,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    attributes=_attributes(span.attributes),
                    links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                    status=span.status.code,
                    events=tuple(event.name for event in span.events),
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                )


def service_of(resource: Any) -> str:
    """The name of the service that sent it."""
    return str(_attributes(resource.resource.attributes).get("service.name", ""))


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None
