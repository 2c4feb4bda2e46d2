"""What happens around every request: prefix, host name, correlation id, span, security headers, count, log line."""

import contextlib
import logging
import re
import time
from collections.abc import Iterator

from opentelemetry import trace
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from milepost_gateway.access import Access
from milepost_gateway.errors import ApiError
from milepost_gateway.files import SECURITY
from milepost_gateway.metrics import Metrics
from milepost_service import telemetry
from milepost_service.correlation import correlation, new_correlation_id

PROBES = ("/healthz", "/readyz", "/metrics")
CORRELATION = "X-Correlation-Id"
ROUTE = "milepost.route"
"""Key of the scope where the template of the path is left by whoever answers."""
QUIET = ("GET", "HEAD")
METHODS = (*QUIET, "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
STREAM_ROUTE = "/api/stream"
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_log = logging.getLogger(__name__)


class Front:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics, prefix: str) -> None:
        self._app, self._access, self._metrics, self._prefix = app, access, metrics, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        scope = {**scope, ROUTE: "other"}
        if self._prefix and scope["path"] == self._prefix:
            await RedirectResponse(self._prefix.rpartition("/")[2] + "/", 308)(scope, receive, send)
            return
        if self._prefix and scope["path"].startswith(self._prefix + "/"):
            # A proxy that takes the prefix off itself has left nothing to take off.
            scope["path"] = scope["path"].removeprefix(self._prefix)
        await _Exchange(self, scope, send).run(receive)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"] not in PROBES:
                self._access.check_host(Request(scope))
        except ApiError as error:
            await JSONResponse(error.to_json(), error.status, error.headers)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        method, route = scope["method"], scope[ROUTE]
        counted = method if method in METHODS else "other"  # a client can make up any number of them
        self._metrics.answered(counted, route, status, None if route == STREAM_ROUTE else seconds)
        quiet = method in QUIET and status < 400
        level = logging.DEBUG if quiet else logging.INFO if status < 500 else logging.WARNING
        path = scope["raw_path"].decode("ascii", "replace")  # encoded, so that it cannot end the line
        _log.log(level, "%s %s %d", method, path, status, extra={"duration_ms": round(seconds * 1000, 1)})


class _Exchange:
    """One request and its answer."""

    def __init__(self, front: Front, scope: Scope, send: Send) -> None:
        self._front, self._scope, self._send = front, scope, send
        self._headers = Headers(scope=scope)
        given = self._headers.get(CORRELATION, "")
        self._correlation_id = given if _CORRELATION_ID.fullmatch(given) else new_correlation_id()
        self._status = 499  # until an answer begins: what is logged when the client went away before

    async def run(self, receive: Receive) -> None:
        begun = time.monotonic()
        with correlation(self._correlation_id), self._span():
            try:
                await self._front.answer(self._scope, receive, self._begin)
            except Exception:
                self._status = 500 if self._status == 499 else self._status
                raise
            finally:
                self._front.answered(self._scope, self._status, time.monotonic() - begun)

    @contextlib.contextmanager
    def _span(self) -> Iterator[None]:
        """Around what changes something, and around reads within a trace; a stream would be a span of many hours."""
        path, method = self._scope["path"], self._scope["method"]
        parent = telemetry.context_from(self._headers.get("traceparent", ""), self._headers.get("tracestate", ""))
        is_wanted = method not in QUIET or trace.get_current_span(parent).get_span_context().is_valid
        if not path.startswith("/api/") or path == STREAM_ROUTE or not is_wanted:
            yield
            return
        attributes = {"http.request.method": method, "url.path": path, "correlation.id": self._correlation_id}
        with telemetry.tracer().start_as_current_span(
            method, context=parent, kind=trace.SpanKind.SERVER, attributes=attributes
        ) as span:
            try:
                yield
            finally:
                span.update_name(f"{method} {self._scope[ROUTE]}")
                span.set_attribute("http.route", self._scope[ROUTE])
                span.set_attribute("http.response.status_code", self._status)

    async def _begin(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[CORRELATION] = self._correlation_id
            headers.setdefault("Cache-Control", "no-store")
            for name, value in SECURITY.items():
                headers.setdefault(name, value)
        await self._send(message)
