"""What happens around every call: trace context and correlation id come in and go out, errors become statuses.

OpenTelemetry's own gRPC instrumentation is beta and mishandles aio streams and cancellation, hence these.
"""

import abc
import contextlib
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from opentelemetry import trace

from milepost_service import telemetry
from milepost_service.correlation import correlation, current_correlation_id, new_correlation_id
from milepost_service.errors import ServiceError, UnavailableError
from milepost_service.metadata import (
    CALL_ID,
    CORRELATION_ID,
    EPOCH,
    OBSERVABILITY,
    RETRY_PUSHBACK,
    TRACEPARENT,
    TRACESTATE,
    first_value,
)
from milepost_service.serving_stats import ServingStats
from milepost_service.telemetry.conventions import Attributes
from milepost_service.telemetry.mode import process_mode
from milepost_service.telemetry.resources import process_resources

_log = logging.getLogger(__name__)
_INFRASTRUCTURE = ("/grpc.health.", "/grpc.reflection.")
_QUIET = ("Get", "List", "Watch", "Describe", "Register", "Deregister")
_FAULTS = frozenset(("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"))
"""Codes that are the server's own failure; any other is an answer to what the caller did."""

WORK_METHODS = frozenset(
    (
        "/milepost.capability.v1.CapabilityService/Invoke",
        "/milepost.model.v1.ModelService/Generate",
        "/milepost.model.v1.ModelService/Score",
        "/milepost.model.v1.ModelService/Embed",
    )
)

Handler = Any  # grpc.RpcMethodHandler of unknown message types
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]


def behaviour_of(handler: Handler) -> Callable[..., Any]:
    """What the handler does with (request, context)."""
    behaviour: Callable[..., Any] = getattr(handler, _kind(handler))
    return behaviour


def with_behaviour(handler: Handler, behaviour: Callable[..., Any]) -> Handler:
    """The handler of the same method that does something else."""
    make: Any = getattr(grpc, f"{_kind(handler)}_rpc_method_handler")
    return make(
        behaviour, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
    )


def _kind(handler: Handler) -> str:
    incoming, outgoing = (
        "stream" if streams else "unary" for streams in (handler.request_streaming, handler.response_streaming)
    )
    return f"{incoming}_{outgoing}"


@dataclass(frozen=True)
class IncomingCall:
    """One RPC that is being served."""

    method: str
    """Full name, for example `/milepost.model.v1.ModelService/Score`."""
    context: "grpc.aio.ServicerContext[Any, Any]"

    @property
    def name(self) -> str:
        """The method's own name."""
        return self.method.rpartition("/")[2]

    def metadata(self, key: str) -> str:
        return first_value(self.context.invocation_metadata(), key)


class AroundInterceptor(grpc.aio.ServerInterceptor, metaclass=abc.ABCMeta):
    """Runs an async context manager around each call of our services, unary or streaming.

    Streams are driven by a coroutine that writes, so that the generator of a cancelled call is closed at once,
    in the same task and context.
    """

    @abc.abstractmethod
    def around(self, call: IncomingCall) -> AbstractAsyncContextManager[None]:
        """Entered before the handler; an exception that leaves it ends the call."""

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or method.startswith(_INFRASTRUCTURE):
            return handler
        wrap = self._wrap_stream if handler.response_streaming else self._wrap_unary
        return with_behaviour(handler, wrap(method, behaviour_of(handler)))

    def _wrap_unary(self, method: str, behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def unary(request: Any, context: Any) -> Any:
            async with self.around(IncomingCall(method, context)):
                return await behaviour(request, context)

        return unary

    def _wrap_stream(self, method: str, behaviour: Callable[..., Any]) -> Callable[..., Awaitable[None]]:
        async def stream(request: Any, context: Any) -> None:
            async with self.around(IncomingCall(method, context)):
                if not inspect.isasyncgenfunction(behaviour):
                    await behaviour(request, context)
                    return
                async with aclosing(behaviour(request, context)) as responses:
                    async for response in responses:
                        await context.write(response)

        return stream


class TraceInterceptor(AroundInterceptor):
    """Opens a server span under the caller's trace and binds the correlation id (made here when absent).

    The span of a call that does work tells what the process used meanwhile. Those who only look, again and again, get
    no span unless their caller has one.
    """

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncIterator[None]:
        parent = telemetry.context_from(call.metadata(TRACEPARENT), call.metadata(TRACESTATE))
        correlation_id = call.metadata(CORRELATION_ID) or new_correlation_id()
        with correlation(correlation_id):
            if not parent and call.name.startswith(_QUIET):
                yield
                return
            with (
                telemetry.tracer().start_as_current_span(
                    call.method[1:],
                    context=parent,
                    kind=trace.SpanKind.SERVER,
                    attributes=rpc_attributes(call.method[1:]),
                    record_exception=False,
                    set_status_on_exception=False,
                ) as span,
                _use_measured(span) if call.method in WORK_METHODS else contextlib.nullcontext(),
            ):
                for key, name in ((CALL_ID, Attributes.CALL_ID), (EPOCH, Attributes.EPOCH)):
                    if value := call.metadata(key):
                        span.set_attribute(name, int(value) if key == EPOCH and value.isdecimal() else value)
                yield


def rpc_attributes(method: str) -> dict[str, str]:
    """What every span of a call has, on either side; `method` is the full name without the first slash."""
    service, _, name = method.partition("/")
    return {
        Attributes.RPC_SYSTEM: "grpc",
        Attributes.RPC_SERVICE: service,
        Attributes.RPC_METHOD: name,
        Attributes.CORRELATION_ID: current_correlation_id(),
    }


@contextlib.contextmanager
def _use_measured(span: trace.Span) -> Iterator[None]:
    """Adds to the span what the process uses inside."""
    before = process_resources().read()
    try:
        yield
    finally:
        after = process_resources().read()
        span.set_attribute(Attributes.CPU_SECONDS, round(max(after.cpu_seconds - before.cpu_seconds, 0.0), 6))
        span.set_attribute(Attributes.MEMORY_BYTES, after.memory_bytes)
        span.set_attribute(Attributes.USAGE_SOURCE, after.source)
        if after.memory_limit_bytes:
            span.set_attribute(Attributes.MEMORY_LIMIT_BYTES, after.memory_limit_bytes)
        if throttled := after.throttled_periods - before.throttled_periods:
            span.set_attribute(Attributes.CPU_THROTTLED, throttled)


class StatusInterceptor(AroundInterceptor):
    """Turns a ServiceError into its gRPC status and retry hint, counts the call and writes one log line of it."""

    def __init__(self, stats: ServingStats | None = None) -> None:
        self._stats = stats or ServingStats()

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncIterator[None]:
        begin = time.monotonic()
        outcome, details = "CANCELLED", ""
        try:
            with self._stats.serving(call.method[1:]):
                yield
            outcome = "OK"
        except ServiceError as error:
            outcome, details = error.code, str(error)
            hint = () if error.retry_after is None else ((RETRY_PUSHBACK, str(int(error.retry_after * 1000))),)
            await call.context.abort(grpc.StatusCode[error.code], str(error), hint)
        except NotImplementedError:  # what the generated classes raise for a method that a service leaves out
            outcome = "UNIMPLEMENTED"
            raise
        except grpc.aio.AbortError:
            outcome, details = _code_of(call.context), call.context.details() or ""
            raise
        except Exception as error:
            outcome, details = "UNKNOWN", type(error).__name__
            trace.get_current_span().record_exception(error)
            _log.exception("call failed")
            raise
        finally:
            seconds = time.monotonic() - begin
            self._stats.end(call.method[1:], outcome, seconds)
            _tell_outcome(outcome, details)
            level = logging.DEBUG if outcome == "OK" and call.name.startswith(_QUIET) else logging.INFO
            _log.log(level, "%s %s", call.name, outcome, extra={"duration_ms": round(seconds * 1000, 1)})


def _tell_outcome(code: str, details: str) -> None:
    span = trace.get_current_span()
    span.set_attribute(Attributes.RPC_GRPC_STATUS_CODE, grpc.StatusCode[code].value[0])
    if code in _FAULTS:
        span.set_attribute(Attributes.ERROR_TYPE, code)
        span.set_status(trace.StatusCode.ERROR, details)


def _code_of(context: Any) -> str:
    """The code that a handler ended its call with."""
    code = context.code()
    if isinstance(code, int):
        return next((each.name for each in grpc.StatusCode if each.value[0] == code), "UNKNOWN")
    return code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"


class GateInterceptor(AroundInterceptor):
    """Answers UNAVAILABLE until it is opened: the port is bound before the process can do its work."""

    def __init__(self, name: str, doing: Callable[[], str] = str) -> None:
        """`doing` tells what the process does meanwhile; "" for nothing that is worth a word."""
        self._name = name
        self._doing = doing
        self._is_open = False

    def open(self) -> None:
        self._is_open = True

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncIterator[None]:
        if not self._is_open:
            doing = self._doing()
            raise UnavailableError(f"{self._name} is starting{doing and f': {doing}'}", retry_after=1.0)
        yield


def _with_context(details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    present = {key for key, _ in metadata}
    added = {
        **telemetry.trace_headers(),
        CORRELATION_ID: current_correlation_id(),
        OBSERVABILITY: process_mode.header(),
    }
    for key, value in added.items():
        if value and key not in present:
            metadata.add(key, value)
    return grpc.aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )


class UnaryContextInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Sends the current trace context and correlation id with unary calls."""

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_with_context(client_call_details), request)


class StreamContextInterceptor(grpc.aio.UnaryStreamClientInterceptor):
    """Sends the current trace context and correlation id with calls that stream their answer."""

    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_with_context(client_call_details), request)
