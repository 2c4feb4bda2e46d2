"""What happens around every request: correlation id, span, count, log line, and an answer to what nobody foresaw."""

import contextlib
import logging
import re
import time
from collections.abc import Iterator

from opentelemetry import trace
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from milepost_service import telemetry
from milepost_service.correlation import correlation, new_correlation_id
from milepost_service.serving_stats import ServingStats

CORRELATION = "X-Correlation-Id"
ROUTE = "milepost.route"
"""Key of the scope where whoever answers leaves the template of the path."""
GONE = 499
"""Status of a request whose client went away before its answer, in logs and counts."""
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_log = logging.getLogger(__name__)


class Front:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, stats: ServingStats) -> None:
        self._app, self._stats = app, stats

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Exchange(self._app, self._stats, {**scope, ROUTE: "other"}, send).run(receive)


class _Exchange:
    """One request and its answer."""

    def __init__(self, app: ASGIApp, stats: ServingStats, scope: Scope, send: Send) -> None:
        self._app, self._stats, self._scope, self._send = app, stats, scope, send
        self._headers = Headers(scope=scope)
        given = self._headers.get(CORRELATION, "")
        self._correlation_id = given if _CORRELATION_ID.fullmatch(given) else new_correlation_id()
        self._status = GONE

    async def run(self, receive: Receive) -> None:
        begun = time.monotonic()
        with correlation(self._correlation_id), self._span():
            try:
                await self._app(self._scope, receive, self._begin)
            except Exception:  # answered with 500 by the application where that was possible
                self._status = 500
                _log.exception("request failed")
            finally:
                self._tell(time.monotonic() - begun)

    @contextlib.contextmanager
    def _span(self) -> Iterator[None]:
        """Around what does work."""
        method, path = self._scope["method"], self._scope["path"]
        if method != "POST":
            yield
            return
        parent = telemetry.context_from(self._headers.get("traceparent", ""), self._headers.get("tracestate", ""))
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

    def _tell(self, seconds: float) -> None:
        method, status = self._scope["method"], self._status
        self._stats.end(self._scope[ROUTE].removeprefix("/"), str(status), seconds)
        level = logging.DEBUG if method == "GET" and status < 400 else logging.INFO
        path = self._scope["raw_path"].decode("ascii", "replace")[:200]  # encoded, so that it cannot end the line
        _log.log(level, "%s %s %d", method, path, status, extra={"duration_ms": round(seconds * 1000, 1)})

    async def _begin(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[CORRELATION] = self._correlation_id
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)
