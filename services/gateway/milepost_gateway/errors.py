"""What a caller over HTTP is told when something is refused."""

import grpc
import grpc.aio

from milepost_service.errors import MilepostError

MAX_WORDS = 500
RETRY_AFTER = 1  # seconds

HTTP_STATUS: dict[str, int] = {
    "INVALID_ARGUMENT": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 409,
    "ABORTED": 409,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "MISDIRECTED_REQUEST": 421,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "CANCELLED": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""By code: those of gRPC, and what only HTTP knows."""


class ApiError(MilepostError):
    """A refusal: `code` is one of HTTP_STATUS, the message one line."""

    def __init__(self, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.headers = headers or {}
        if self.status in (429, 503):
            self.headers.setdefault("Retry-After", str(RETRY_AFTER))

    @property
    def status(self) -> int:
        return HTTP_STATUS.get(self.code, 500)

    def to_json(self) -> dict[str, object]:
        return {"error": {"code": self.code, "message": str(self)}}


def one_line(text: str) -> str:
    """`text` on one line, cut to a length that can be shown."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 1] + "…"


def refusal(error: grpc.aio.AioRpcError, agent: str) -> ApiError:
    """What an agent answered, or that it did not."""
    code, words = error.code().name, one_line(error.details() or "")
    if code in ("UNAVAILABLE", "CANCELLED"):
        return ApiError("UNAVAILABLE", f"agent {agent} is not available now" + (f": {words}" if words else ""))
    if code == "DEADLINE_EXCEEDED":
        return ApiError(code, f"agent {agent} did not answer in time")
    if code in HTTP_STATUS and code != "INTERNAL":
        return ApiError(code, words or f"agent {agent} refused")
    return ApiError("INTERNAL", f"agent {agent} failed; its log says why")
