"""What a server's failure means to a caller: one line, a gRPC status, and whether another try may help."""

import math
import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from typing import Any

import openai

from milepost_model.remote.key import ApiKey
from milepost_service.errors import ServiceError

_SAID = 300
_LONGEST_WAIT = 3600.0
_PASSING = frozenset((408, 409, 425, 429))
"""Statuses besides 5xx after which the same request may succeed."""
_OF_THE_REQUEST = frozenset((400, 413, 415, 422))
_OF_THE_KEY = frozenset((401, 403))
_NEVER_SERVED = frozenset((501, 505))
_USED_UP = "insufficient_quota"


class ServerError(ServiceError):
    """The server, or the way to it, failed.

    `status` is the HTTP status (0: there was none), `said` the server's own words, `passes` whether another try may
    help, `code` the gRPC status.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int = 0,
        said: str = "",
        passes: bool,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.code = code
        self.status = status
        self.said = said
        self.passes = passes


class Server:
    """How a server is called in messages, and what its failures mean. `name` is its host, with a port if it has one."""

    def __init__(self, name: str, model: str, key: ApiKey) -> None:
        self.name = name
        self.model = model
        self._key = key

    def failure(self, error: openai.APIError) -> ServerError:
        """What the client raised, as what a caller is told."""
        if isinstance(error, openai.APIStatusError):
            return self._of_status(error)
        if isinstance(error, openai.APITimeoutError):
            return self.unavailable("was silent for too long")
        if isinstance(error, openai.APIConnectionError):
            return self.unavailable(f"cannot be reached or broke off: {self._words(error.__cause__ or error)}")
        return self.unavailable(f"reported an error: {self._words(error.message)}")

    def unavailable(self, what: str) -> ServerError:
        """Something that may pass."""
        return ServerError(f"{self.name} {what}", code="UNAVAILABLE", passes=True)

    def misses_model(self, names: str) -> ServerError:
        """The model is not among those that the server has."""
        what = f"{self.name} has no model {self.model}; allowed: another spec.openAI.model, for example {names}"
        return ServerError(what, code="FAILED_PRECONDITION", status=404, passes=False)

    def _of_status(self, error: openai.APIStatusError) -> ServerError:
        status, said = error.status_code, self._words(_message(error))
        wait = retry_after(error.response.headers)
        if status in _OF_THE_KEY:  # its own words may hold the key, or a part of it
            what = f"{self.name} refused {self._key} ({status}); allowed: a key that may use the model {self.model}"
            return ServerError(what, code="FAILED_PRECONDITION", status=status, passes=False)
        if status == 429 and error.code == _USED_UP:
            what = f"{self.name} has no quota left for {self._key} (429): {said}"
            return ServerError(what, code="FAILED_PRECONDITION", status=status, said=said, passes=False)
        code, passes = _meaning(status)
        what = f"{self.name} {_verb(status, self.model)} ({status}): {said}"
        return ServerError(what, code=code, status=status, said=said, passes=passes, retry_after=wait)

    def _words(self, said: Any) -> str:
        """In one short line, without the key."""
        return self._key.without(" ".join(str(said).split()))[:_SAID]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, at most an hour; None where it says nothing that can be read."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return min(max(seconds, 0.0), _LONGEST_WAIT)
    date = parsedate_tz(headers.get("retry-after", ""))
    return min(max(mktime_tz(date) - time.time(), 0.0), _LONGEST_WAIT) if date else None


def _meaning(status: int) -> tuple[str, bool]:
    """The gRPC status, and whether another try may help."""
    if status == 429:
        return "RESOURCE_EXHAUSTED", True
    if status in _PASSING or (status >= 500 and status not in _NEVER_SERVED):
        return "UNAVAILABLE", True
    return ("INVALID_ARGUMENT" if status in _OF_THE_REQUEST else "FAILED_PRECONDITION"), False


def _verb(status: int, model: str) -> str:
    if status == 429:
        return "takes no more requests now"
    if status == 404:
        return f"has no model {model}, or not this endpoint; allowed: another spec.openAI.model or baseURL"
    if 300 <= status < 400:
        return "sends to another place; allowed: a spec.openAI.baseURL that answers itself"
    return "failed" if status >= 500 else "refused the request"


def _message(error: openai.APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"])
    location = error.response.headers.get("location")
    return str(location or error.message)
