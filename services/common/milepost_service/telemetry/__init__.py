"""OpenTelemetry: a real tracer always (so that trace ids exist), an exporter only where one is configured."""

import os

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_propagator = TraceContextTextMapPropagator()
_provider: TracerProvider | None = None


def setup(service_name: str) -> TracerProvider:
    """Makes the tracer provider of this process; a second call returns the first one's."""
    global _provider
    if _provider is None:
        _provider = TracerProvider(resource=Resource.create({"service.name": service_name}))
        if any(os.environ.get(name) for name in _ENDPOINTS):
            _provider.add_span_processor(_exporter())
        trace.set_tracer_provider(_provider)
    return _provider


def _exporter() -> SpanProcessor:
    # Imported by those who export alone: it takes a tenth of the time in which a process starts.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    return BatchSpanProcessor(OTLPSpanExporter())


def add_span_processor(processor: SpanProcessor) -> None:
    """Sends every ended span of this process to `processor` too."""
    setup("milepost").add_span_processor(processor)


def shutdown() -> None:
    """Sends what is still queued. Call once, at the end of the process."""
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
