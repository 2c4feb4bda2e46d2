"""Spans as an OTLP request."""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from milepost_agent.tracing.spans import Attributes, Span, Value
from milepost_service.telemetry.conventions import SCHEMA_URL

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
        _set(of_process.resource.attributes, resource)
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
        name=span.name,
        kind=_SERVER if span.is_server else _INTERNAL,
        flags=_SAMPLED | _PARENT_IS_KNOWN,
        start_time_unix_nano=_nanoseconds(span.start),
        end_time_unix_nano=_nanoseconds(span.end),
    )
    _set(encoded.attributes, span.attributes)
    for moment in span.moments:
        event = encoded.events.add(name=moment.name, time_unix_nano=_nanoseconds(moment.time))
        _set(event.attributes, moment.attributes)
    for link in span.links:
        ids = {"trace_id": link.trace_id.to_bytes(16), "span_id": link.span_id.to_bytes(8)}
        _set(encoded.links.add(**ids).attributes, link.attributes)
    if span.error:
        encoded.status.code = _ERROR
        encoded.status.message = span.error


def _set(target: Any, attributes: Attributes) -> None:
    for key, value in attributes.items():
        target.add(key=key, value=_value(value))


def _value(value: Value) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    array = AnyValue()
    array.array_value.values.extend([AnyValue(string_value=each) for each in value])
    return array


def _nanoseconds(time: float) -> int:
    return max(int(time * 1_000_000_000), 0)
