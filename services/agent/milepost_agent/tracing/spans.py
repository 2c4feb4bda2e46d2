"""A span as it goes out, and nothing of OpenTelemetry's SDK: there is no recorder whose memory a crash could empty."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from milepost_service.telemetry.encoding import Attributes


@dataclass(frozen=True)
class Moment:
    """A span event. `time` in seconds since the epoch."""

    name: str
    time: float
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class Link:
    """Points at a span, maybe of another trace."""

    trace_id: int
    span_id: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class Span:
    """Closed, whole, and the same whenever it is made anew. Times in seconds since the epoch.

    `parent_id` 0: it has none. `error` is why it failed; empty when it did not.
    """

    trace_id: int
    span_id: int
    parent_id: int
    name: str
    start: float
    end: float
    attributes: Attributes
    moments: Sequence[Moment] = ()
    links: Sequence[Link] = ()
    error: str = ""
    is_server: bool = False
