"""The gateway: its parts put together, and the routes to them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from milepost_gateway.access import Access
from milepost_gateway.addresses import Agents
from milepost_gateway.api.agents import AgentsApi
from milepost_gateway.api.backups import Backups
from milepost_gateway.api.inputs import StreamQuery
from milepost_gateway.api.runs import RunReads
from milepost_gateway.api.steering import Steering
from milepost_gateway.api.whereabouts import Whereabouts
from milepost_gateway.endpoint import JSON, Call, Endpoint, Nothing
from milepost_gateway.errors import ApiError
from milepost_gateway.files import Files
from milepost_gateway.fleet import Fleet
from milepost_gateway.front import ROUTE, STREAM_ROUTE, Front
from milepost_gateway.hub import Hub
from milepost_gateway.journal import dump
from milepost_gateway.metrics import CONTENT_TYPE, Metrics
from milepost_gateway.openapi import document
from milepost_gateway.settings import GatewaySettings
from milepost_gateway.stream import EventStream, cursor_of
from milepost_gateway.version import version

OPEN_TO_ALL = ("getConfig", "getOpenApi")
"""What may be read without a token even where reading needs one: how to get in."""
EVENT_STREAM = "text/event-stream"
_CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
_log = logging.getLogger(__name__)
Handler = Callable[[Request], Awaitable[Response]]


class Gateway:
    """Everything but the server. `app` answers requests; nothing is followed before `running`.

    `application` is what lies behind the front: the routes.
    """

    def __init__(self, settings: GatewaySettings, agents: Agents) -> None:
        self.fleet = Fleet(agents)
        self.hub = Hub(self.fleet, settings.gateway_streams)
        self.metrics = Metrics(self.hub)
        self._access = Access(settings)
        self._files = Files(settings.gateway_static, settings.gateway_prefix)
        self.endpoints = self._endpoints()
        self._document = document(self.endpoints, version(), settings.gateway_prefix)
        self.application = self._application()
        self.app: ASGIApp = Front(self.application, self._access, self.metrics, settings.gateway_prefix)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follows the agents inside."""
        tasks = [asyncio.create_task(self.fleet.run()), asyncio.create_task(self.hub.board.run())]
        try:
            yield
        finally:
            self.hub.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.hub.overview.close()

    def _endpoints(self) -> list[Endpoint]:
        where = Whereabouts(self.fleet)
        return [
            *AgentsApi(self.fleet, self.hub.overview, self._access).endpoints(),
            *RunReads(self.fleet, where).endpoints(),
            *Steering(where).endpoints(),
            *Backups(self.fleet).endpoints(),
            Endpoint(
                "GET",
                STREAM_ROUTE,
                "stream",
                "Server-sent events: hello, journal, agents, services, resync",
                self._stream,
                media_type=EVENT_STREAM,
                query=StreamQuery,
                headers={"Last-Event-ID": "Where to go on"},
            ),
            Endpoint("GET", "/api/openapi.json", "getOpenApi", "This document", self._openapi, {"type": "object"}),
        ]

    def _application(self) -> Starlette:
        routes = [Route(each.path, self._handler(each), methods=[each.method]) for each in self.endpoints]
        routes += [
            Route("/healthz", _routed(_alive)),
            Route("/readyz", _routed(self._ready)),
            Route("/metrics", _routed(self._measured)),
            Route("/api", _no_such_path, methods=None),
            Route("/api/{path:path}", _no_such_path, methods=None),
            Route("/{path:path}", self._page),
        ]
        return Starlette(
            routes=routes,
            exception_handlers={
                ApiError: _refused,
                HTTPException: _http_refused,
                ClientDisconnect: _gone,
                Exception: _failed,
            },
        )

    def _handler(self, endpoint: Endpoint) -> Handler:
        async def handle(request: Request) -> Response:
            request.scope[ROUTE] = endpoint.path
            if endpoint.writes:
                self._access.check_write(request)
            elif endpoint.name not in OPEN_TO_ALL:
                self._access.check_read(request)
            answer = await endpoint.handle(await endpoint.call(request))
            return answer if isinstance(answer, Response) else Response(dump(answer), media_type=JSON)

        return handle

    async def _stream(self, call: Call[StreamQuery, Nothing]) -> Response:
        cursor = cursor_of(call.request)
        if call.request.method == "HEAD":
            return Response(media_type=EVENT_STREAM)
        return EventStream(self.hub, self.metrics, cursor, call.query.run)

    async def _openapi(self, call: Call[Nothing, Nothing]) -> Mapping[str, Any]:
        return self._document

    async def _ready(self, request: Request) -> Response:
        agents = {feed.agent.id: feed.connected for feed in self.fleet.feeds}
        return JSONResponse({"ready": True, "agents": agents})

    async def _measured(self, request: Request) -> Response:
        return Response(self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _page(self, request: Request) -> Response:
        request.scope[ROUTE] = "static"
        return self._files.respond(request, request.path_params["path"])


def _routed(handler: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        request.scope[ROUTE] = request.scope["path"]
        return await handler(request)

    return handle


async def _alive(request: Request) -> Response:
    return JSONResponse({"alive": True})


async def _no_such_path(request: Request) -> Response:
    raise ApiError("NOT_FOUND", f"{request.scope['path'][:200]}: there is no such operation; see api/openapi.json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.to_json(), error.status, error.headers)


async def _http_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refused = ApiError(_CODES.get(error.status_code, "INVALID_ARGUMENT"), error.detail)
    return JSONResponse(refused.to_json(), error.status_code, dict(error.headers or {}))


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)


async def _failed(request: Request, error: Exception) -> Response:
    """The trace back is logged by the server."""
    return JSONResponse(ApiError("INTERNAL", "the gateway failed; its log says why").to_json(), 500)
