"""The correlation id of the request that is being served: one UUID from the user's request to the last log line."""

import contextlib
import uuid
from collections.abc import Iterator
from contextvars import ContextVar

_current: ContextVar[str] = ContextVar("milepost_correlation_id", default="")


def current_correlation_id() -> str:
    """The id of the request served by this task; empty outside of a request."""
    return _current.get()


def new_correlation_id() -> str:
    """A fresh random UUID."""
    return str(uuid.uuid4())


@contextlib.contextmanager
def correlation(correlation_id: str) -> Iterator[None]:
    """Everything inside (log lines, spans, outgoing calls) carries this id."""
    token = _current.set(correlation_id)
    try:
        yield
    finally:
        _current.reset(token)
