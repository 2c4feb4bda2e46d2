"""OpenTelemetry: trace context always, own spans where a process asks for them, export where it is configured."""

import logging
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from milepost_service.telemetry.destination import UnusableDestination, destination, resource_attributes

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

_log = logging.getLogger(__name__)
_propagator = TraceContextTextMapPropagator()
_provider: "TracerProvider | None" = None


def setup(service_name: str) -> "TracerProvider":
    """Makes the tracer provider of this process; a second call returns the first one's.

    Without it there are no spans of this process: the context of a caller is passed on as it came.
    """
    global _provider
    if _provider is None:
        # Imported by those who record spans alone: it takes a tenth of the time in which a process starts.
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

        _provider = TracerProvider(resource=resource(service_name))
        if exporter := _exporter():
            _provider.add_span_processor(exporter)
        trace.set_tracer_provider(_provider)
    return _provider


def resource(service_name: str) -> "Resource":
    """What describes this process to a receiver of any signal."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    return Resource.create(dict(resource_attributes(service_name)))


def _exporter() -> "SpanProcessor | None":
    try:
        place = destination("traces")
    except UnusableDestination as error:
        _log.warning("spans are not exported: %s", error)
        return None
    if place is None:
        return None
    from milepost_service.telemetry.connection import Connection  # noqa: PLC0415
    from milepost_service.telemetry.span_export import SpanExport  # noqa: PLC0415

    return SpanExport(Connection(place))


def add_span_processor(processor: "SpanProcessor") -> None:
    """Sends every ended span of this process to `processor` too."""
    setup("milepost").add_span_processor(processor)


def shutdown() -> None:
    """Sends what is still queued, for a moment at most. Call once, at the end of the process."""
    if _provider is not None:
        _provider.shutdown()


def tracer() -> trace.Tracer:
    """The tracer of Milepost's own spans."""
    return trace.get_tracer("milepost")


def trace_headers(context: Context | None = None) -> dict[str, str]:
    """`traceparent` and `tracestate` of the given context (default: the current one); empty without a span."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, context)
    return carrier


def traceparent() -> str:
    """W3C `traceparent` of the current span; empty when there is none."""
    return trace_headers().get("traceparent", "")


def tracestate() -> str:
    """W3C `tracestate` of the current span; empty when there is none."""
    return trace_headers().get("tracestate", "")


def context_from(traceparent: str, tracestate: str = "") -> Context:
    """The context of a remote span, as a parent for new ones; an empty context when the value is not valid."""
    return _propagator.extract({"traceparent": traceparent, "tracestate": tracestate}, Context())
