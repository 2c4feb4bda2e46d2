"""What happens around every call: trace context and correlation id come in and go out, errors become statuses.

OpenTelemetry's own gRPC instrumentation is beta and mishandles aio streams and cancellation, hence these.
"""

import abc
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from opentelemetry import trace

from milepost_service import telemetry
from milepost_service.correlation import correlation, current_correlation_id, new_correlation_id
from milepost_service.errors import ServiceError, UnavailableError
from milepost_service.metadata import CORRELATION_ID, RETRY_PUSHBACK, TRACEPARENT, TRACESTATE, first_value

_log = logging.getLogger(__name__)
_INFRASTRUCTURE = ("/grpc.health.", "/grpc.reflection.")
_QUIET = ("Get", "List", "Watch", "Describe", "Register", "Deregister")

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
    """Opens a server span under the caller's trace and binds the correlation id (made here when absent)."""

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncIterator[None]:
        parent = telemetry.context_from(call.metadata(TRACEPARENT), call.metadata(TRACESTATE))
        correlation_id = call.metadata(CORRELATION_ID) or new_correlation_id()
        service, _, method = call.method[1:].partition("/")
        attributes = {
            "rpc.system": "grpc",
            "rpc.service": service,
            "rpc.method": method,
            "correlation.id": correlation_id,
        }
        with (
            correlation(correlation_id),
            telemetry.tracer().start_as_current_span(
                call.method[1:], context=parent, kind=trace.SpanKind.SERVER, attributes=attributes
            ),
        ):
            yield


class StatusInterceptor(AroundInterceptor):
    """Turns a ServiceError into its gRPC status and retry hint, and writes one log line a call."""

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncIterator[None]:
        begin = time.monotonic()
        outcome = "CANCELLED"
        try:
            yield
            outcome = "OK"
        except ServiceError as error:
            outcome = error.code
            hint = () if error.retry_after is None else ((RETRY_PUSHBACK, str(int(error.retry_after * 1000))),)
            await call.context.abort(grpc.StatusCode[error.code], str(error), hint)
        except NotImplementedError:  # what the generated classes raise for a method that a service leaves out
            outcome = "UNIMPLEMENTED"
            raise
        except grpc.aio.AbortError:
            outcome = "ABORTED BY HANDLER"
            raise
        except Exception:
            outcome = "UNKNOWN"
            _log.exception("call failed")
            raise
        finally:
            name = call.method.rpartition("/")[2]
            level = logging.DEBUG if outcome == "OK" and name.startswith(_QUIET) else logging.INFO
            _log.log(level, "%s %s", name, outcome, extra={"duration_ms": round((time.monotonic() - begin) * 1000, 1)})


class GateInterceptor(AroundInterceptor):
    """Answers UNAVAILABLE until it is opened: the port is bound before the process can do its work."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_open = False

    def open(self) -> None:
        self._is_open = True

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncIterator[None]:
        if not self._is_open:
            raise UnavailableError(f"{self._name} is starting", retry_after=1.0)
        yield


def _with_context(details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    present = {key for key, _ in metadata}
    added = {**telemetry.trace_headers(), CORRELATION_ID: current_correlation_id()}
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
