"""Spans as an OTLP request."""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from milepost_agent.tracing.spans import Span
from milepost_service.telemetry.conventions import SCHEMA_URL
from milepost_service.telemetry.encoding import clean, nanoseconds, set_attributes

_SAMPLED = 1
_PARENT_IS_KNOWN = 0x100
_INTERNAL = trace_pb2.Span.SPAN_KIND_INTERNAL
_SERVER = trace_pb2.Span.SPAN_KIND_SERVER
_ERROR = trace_pb2.Status.STATUS_CODE_ERROR


class Request:
    """An ExportTraceServiceRequest in the making, of spans of the one process that `resource` describes."""

    def __init__(self, resource: Mapping[str, str]) -> None:
        self._request = ExportTraceServiceRequest()
        of_process = self._request.resource_spans.add(schema_url=SCHEMA_URL)
        set_attributes(of_process.resource.attributes, resource)
        self._scope = of_process.scope_spans.add(schema_url=SCHEMA_URL)
        self._scope.scope.name = "milepost.agent"

    def __len__(self) -> int:
        """How many spans it has."""
        return len(self._scope.spans)

    def add(self, spans: Sequence[Span]) -> None:
        for span in spans:
            _add(self._scope.spans, span)

    def encoded(self) -> bytes:
        return self._request.SerializeToString()


def _add(target: Any, span: Span) -> None:
    encoded = target.add(
        trace_id=span.trace_id.to_bytes(16),
        span_id=span.span_id.to_bytes(8),
        parent_span_id=span.parent_id.to_bytes(8) if span.parent_id else b"",
        name=clean(span.name),
        kind=_SERVER if span.is_server else _INTERNAL,
        flags=_SAMPLED | _PARENT_IS_KNOWN,
        start_time_unix_nano=nanoseconds(span.start),
        end_time_unix_nano=nanoseconds(span.end),
    )
    set_attributes(encoded.attributes, span.attributes)
    for moment in span.moments:
        event = encoded.events.add(name=moment.name, time_unix_nano=nanoseconds(moment.time))
        set_attributes(event.attributes, moment.attributes)
    for link in span.links:
        ids = {"trace_id": link.trace_id.to_bytes(16), "span_id": link.span_id.to_bytes(8)}
        set_attributes(encoded.links.add(**ids).attributes, link.attributes)
    if span.error:
        encoded.status.code = _ERROR
        encoded.status.message = clean(span.error)
