"""The endpoints, as an ASGI application."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from milepost_crds import ModelService
from milepost_model.engine import Engine
from milepost_model.http.body import parsed
from milepost_model.http.chat_completions import complete_chat
from milepost_model.http.completions import complete
from milepost_model.http.embeddings import embed
from milepost_model.http.errors import ApiError, refusal, stopping
from milepost_model.http.front import GONE, ROUTE, Front
from milepost_model.http.parameters import ChatRequest, CompletionRequest, EmbeddingRequest, Request
from milepost_model.http.served import Served
from milepost_service.errors import ServiceError
from milepost_service.metrics import ServiceMetrics
from milepost_service.prometheus import registry_of
from milepost_service.serving_stats import ServingStats

MOST_CONNECTIONS = 1024
MOST_PREPARED = 32
"""Requests whose bodies are in memory before the model has taken them."""

Handle = Callable[[Served, HttpRequest, Any], Awaitable[Response]]


class HttpApi:
    """`app` answers as long as the process lives; what needs the model, while `stats` say that it is ready."""

    def __init__(
        self, engine: Engine, resource: ModelService, stats: ServingStats, metrics: Callable[[], Iterable[Metric]]
    ) -> None:
        self._served = Served(engine, resource)
        self._stats = stats
        self._prepared = 0
        self._registry = registry_of(ServiceMetrics(stats, engine.load_now, metrics))
        routes = [
            _get("/health", self._health),
            _get("/metrics", self._metrics),
            _get("/v1/models", self._models),
            _get("/v1/models/{model}", self._model),
            self._post("/v1/chat/completions", ChatRequest, complete_chat, "messages"),
            self._post("/v1/completions", CompletionRequest, complete, "prompt"),
            self._post("/v1/embeddings", EmbeddingRequest, embed, "input"),
        ]
        handlers: dict[Any, Any] = {
            ApiError: _refused,
            HTTPException: _not_there,
            ConnectionAbortedError: _gone,
            Exception: _failed,
        }
        self.app: ASGIApp = Front(Starlette(routes=routes, exception_handlers=handlers), stats)

    async def _health(self, _: HttpRequest) -> Response:
        self._require_ready()
        return JSONResponse({"status": "ok"})

    async def _metrics(self, http: HttpRequest) -> Response:
        encode, kind = choose_encoder(http.headers.get("accept", ""))
        text = await asyncio.to_thread(encode, self._registry)
        return Response(text, headers={"Content-Type": kind})

    async def _models(self, _: HttpRequest) -> Response:
        self._require_ready()
        return JSONResponse({"object": "list", "data": [self._served.described()]})

    async def _model(self, http: HttpRequest) -> Response:
        self._require_ready()
        self._served.require(http.path_params["model"])
        return JSONResponse(self._served.described())

    def _post(self, path: str, model: type[Request], handle: Handle, param: str) -> Route:
        async def answer(http: HttpRequest) -> Response:
            self._require_ready()
            wish = await self._prepare(http, model)
            try:
                return await handle(self._served, http, wish)
            except ServiceError as error:
                raise refusal(error, param) from None
            except asyncio.CancelledError:  # by the process that stops, which waits for this
                raise stopping() from None

        return _routed(path, answer, "POST")

    async def _prepare(self, http: HttpRequest, model: type[Request]) -> Request:
        if self._prepared >= MOST_PREPARED:
            raise ApiError(
                429, f"{MOST_PREPARED} requests are read already", code="rate_limit_exceeded", retry_after=1.0
            )
        self._prepared += 1
        try:
            wish = await parsed(http, model)
        finally:
            self._prepared -= 1
        self._served.require(wish.model)
        return wish

    def _require_ready(self) -> None:
        if not self._stats.ready:
            raise ApiError(503, "the model is loading, or the process is stopping", code="unavailable", retry_after=1.0)


def _get(path: str, answer: Callable[[HttpRequest], Awaitable[Response]]) -> Route:
    return _routed(path, answer, "GET")


def _routed(path: str, answer: Callable[[HttpRequest], Awaitable[Response]], method: str) -> Route:
    async def routed(http: HttpRequest) -> Response:
        http.scope[ROUTE] = path
        return await answer(http)

    return Route(path, routed, methods=[method])


async def _refused(_: HttpRequest, error: ApiError) -> Response:
    return error.response()


async def _not_there(http: HttpRequest, error: HTTPException) -> Response:
    what = f"{http.method} {http.url.path[:80]}"
    return ApiError(error.status_code, f"{what}: is not served here", code="not_found").response()


async def _gone(_: HttpRequest, __: ConnectionAbortedError) -> Response:
    return Response(status_code=GONE)


async def _failed(_: HttpRequest, __: Exception) -> Response:
    return ApiError(500, "the request failed; the log of the service says why", code="internal_error").response()
