"""A request's body: bounded in bytes and time, and checked."""

import asyncio
import re
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest

from milepost_model.http.errors import ApiError

BODY_BYTES = 2 * 1024 * 1024
_DISCARDED_BYTES = 16 * 1024 * 1024
"""A body up to here is read to its end all the same: a client that still sends does not hear why it is refused."""
BODY_SECONDS = 30.0
_INLINE_BYTES = 32 * 1024
"""A longer body is parsed in a thread: it would keep the event loop from others."""
_BRANCH = re.compile(r"str|bool|int|float|[A-Z]\w*|.*\[.*")  # of a union, as pydantic names it in a place
_JSON = "application/json"

Model = TypeVar("Model", bound=BaseModel)


async def parsed(request: HttpRequest, model: type[Model]) -> Model:
    """Raises ApiError that names the first thing that is wrong."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _JSON:  # what a page of another site may send unasked is not JSON
        raise ApiError(415, f"content-type: is {kind[:80]!r}; allowed: {_JSON}", code="unsupported_media_type")
    content = await _read(request)
    try:
        if len(content) > _INLINE_BYTES:
            return await asyncio.to_thread(model.model_validate_json, content)
        return model.model_validate_json(content)
    except ValidationError as error:
        raise _refused(error.errors(include_url=False)[0]) from None


async def _read(request: HttpRequest) -> bytes:
    too_long = ApiError(413, f"body: is too long; allowed: {BODY_BYTES} bytes", code="request_too_large")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > _DISCARDED_BYTES:
        raise too_long
    content, size = bytearray(), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > _DISCARDED_BYTES:
                    raise too_long
                if size <= BODY_BYTES:
                    content += chunk
    except TimeoutError:
        raise ApiError(408, f"body: did not come within {BODY_SECONDS:.0f} s", code="request_timeout") from None
    except ClientDisconnect:
        raise ApiError(499, "the client has gone") from None
    if size > BODY_BYTES:
        raise too_long
    return bytes(content)


def _refused(mistake: ErrorDetails) -> ApiError:
    message = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "json_invalid":
        return ApiError(400, f"body: is not JSON: {message.removeprefix('Invalid JSON: ')}", code="invalid_json")
    where = _place(mistake["loc"])
    if not where:  # said of several parts together, which the message names
        named, _, rest = message.partition(": ")
        return ApiError(400, message, code="invalid_value", param=named if rest else None)
    if mistake["type"] == "extra_forbidden":
        return ApiError(400, f"{where}: is not supported", code="unsupported_parameter", param=where)
    if mistake["type"] == "missing":
        return ApiError(400, f"{where}: is missing", code="missing_required_parameter", param=where)
    if mistake["type"] != "value_error" and isinstance(mistake["input"], str | int | float):
        message = f"{message} (is {repr(mistake['input'])[:80]})"
    return ApiError(400, f"{where}: {message}", code="invalid_value", param=where)


def _place(location: tuple[int | str, ...]) -> str:
    """For example `messages[0].content`."""
    place = ""
    for part in location:
        if isinstance(part, int):
            place += f"[{part}]"
        elif not _BRANCH.fullmatch(part):
            place += f".{part[:80]}" if place else part[:80]
    return place
