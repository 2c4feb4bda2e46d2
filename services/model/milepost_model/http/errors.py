"""What a client over HTTP is told when something is refused, in the form of OpenAI's API."""

import math

from starlette.responses import JSONResponse

from milepost_model.errors import PromptTooLongError
from milepost_service.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    MilepostError,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)

_MOST_WORDS = 500
_TYPES = {429: "rate_limit_error"}


class ApiError(MilepostError):
    """A refusal. `code` is a name that programs know, `param` the part of the request that is wrong."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(one_line(message))
        self.status, self.code, self.param, self.retry_after = status, code, param, retry_after

    def to_json(self) -> dict[str, object]:
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """`Retry-After` is in whole seconds; OpenAI's clients read the milliseconds beside it first."""
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(math.ceil(self.retry_after))
            headers["Retry-After-Ms"] = str(math.ceil(self.retry_after * 1000))
        if self.status in (408, 413, 503):
            headers["Connection"] = "close"
        return JSONResponse(self.to_json(), self.status, headers)


def refusal(error: ServiceError, param: str | None = None) -> ApiError:
    """The same refusal as over gRPC."""
    text = str(error)
    if isinstance(error, PromptTooLongError):
        return ApiError(400, text, code="context_length_exceeded", param=param)
    if isinstance(error, InvalidArgumentError):
        return ApiError(400, text, code="invalid_value", param=param)
    if isinstance(error, FailedPreconditionError):
        return ApiError(400, text, code="unsupported_by_model", param=param)
    if isinstance(error, ResourceExhaustedError):
        return ApiError(429, text, code="rate_limit_exceeded", retry_after=error.retry_after or 1.0)
    if isinstance(error, UnavailableError):
        return ApiError(503, text, code="unavailable", retry_after=error.retry_after or 1.0)
    return ApiError(500, text, code="internal_error")


def too_many_bytes(param: str, size: int, allowed: int) -> ApiError:
    """Text that is longer than any that is read."""
    message = f"{param}: has {size} bytes; allowed: at most {allowed} bytes"
    return ApiError(400, message, code="context_length_exceeded", param=param)


def stopping() -> ApiError:
    """Said to those who wait for an answer when the time of a process that stops is over."""
    return ApiError(503, "the process stops", code="unavailable", retry_after=1.0)


def one_line(text: str) -> str:
    """`text` on one line, cut to a length that can be shown."""
    line = " ".join(text.split())
    return line if len(line) <= _MOST_WORDS else line[: _MOST_WORDS - 1] + "…"
