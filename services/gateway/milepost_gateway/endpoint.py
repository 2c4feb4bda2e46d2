"""One operation of the API: what it takes, what it gives, and what does it. Routes and document are made from these."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from milepost_gateway.errors import ApiError, one_line
from milepost_gateway.schema import Schema

MAX_BODY = 1024 * 1024
JSON = "application/json"


class Input(BaseModel):
    """What a request carries; nothing else is allowed in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Input):
    """No parameters, or no body."""


Query = TypeVar("Query", bound=Input)
Body = TypeVar("Body", bound=Input)
Model = TypeVar("Model", bound=Input)


@dataclass(frozen=True)
class Call(Generic[Query, Body]):
    """One request, checked."""

    request: Request
    path: Mapping[str, str]
    query: Query
    body: Body


@dataclass(frozen=True)
class Endpoint:
    """`answer` is the schema of the JSON that `handle` gives, or `media_type` what else its Response holds."""

    method: str
    path: str
    name: str
    summary: str
    handle: Callable[[Call[Any, Any]], Awaitable[Mapping[str, Any] | Response]]
    answer: Schema = field(default_factory=dict)
    media_type: str = JSON
    query: type[Input] = Nothing
    body: type[Input] = Nothing
    headers: Mapping[str, str] = field(default_factory=dict)
    """Request headers that it looks at, with what they mean."""

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    async def call(self, request: Request) -> Call[Any, Any]:
        """Raises ApiError for what is wrong in the request."""
        query = parse(self.query, dict(request.query_params))
        body = await self._body(request) if self.writes else Nothing()
        return Call(request, request.path_params, query, body)

    async def _body(self, request: Request) -> Input:
        content = await read_body(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON and (content or kind):
            raise ApiError("UNSUPPORTED_MEDIA_TYPE", f"content-type: is {kind[:80]!r}; allowed: {JSON}")
        try:
            return self.body.model_validate_json(content or b"{}")
        except ValidationError as error:
            raise ApiError("INVALID_ARGUMENT", describe(error)) from None


async def read_body(request: Request) -> bytes:
    """Raises ApiError when it is longer than MAX_BODY, as soon as that is known."""
    too_long = ApiError("PAYLOAD_TOO_LARGE", f"body: is too long; allowed: {MAX_BODY} bytes", {"Connection": "close"})
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_BODY:
        raise too_long
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY:
            raise too_long
    return bytes(content)


def parse(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Raises ApiError that names the first parameter that is wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ApiError("INVALID_ARGUMENT", describe(error)) from None


def describe(error: ValidationError) -> str:
    """The first mistake, as one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "body"
    if first["type"] == "extra_forbidden":
        return f"{where[:80]}: is not known here"
    return one_line(f"{where[:80]}: {first['msg'].removeprefix('Value error, ')}")
