"""What goes into the store and what comes out of it. All times are seconds since the epoch (float)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

ACCEPTED: Final = "accepted"
RUNNING: Final = "running"
WAITING: Final = "waiting"
ENDED: Final = "ended"


@dataclass(frozen=True)
class NewRun:
    """A request to be accepted. `request_hash` stands for the whole body: same id and hash, same request."""

    run_id: str
    correlation_id: str
    request_hash: str
    workflow: str
    workflow_digest: str
    prompt: str
    max_hops: int
    max_cycles: int
    traceparent: str = ""
    tracestate: str = ""


@dataclass(frozen=True)
class RunRecord:
    """A row of `runs`. `number` grows with each accepted run; `last_sequence` is its newest journal event.

    `idle_seconds` is the time so far that does not count for the time limit: the run waited for a person, was
    paused, or no process drove it; `idle_since` is when the present such time began. `paused` is when a person paused
    it. `restored_from` is the id of the backup that brought it back.
    """

    number: int
    run_id: str
    correlation_id: str
    request_hash: str
    workflow: str
    workflow_digest: str
    prompt: str
    state: str
    outcome: str
    reason: str
    result: str
    remaining_hops: int
    max_hops: int
    current_cycle: int
    max_cycles: int
    current_step: str
    pending: dict[str, Any] | None
    recoveries: int
    crashes: int
    last_sequence: int
    traceparent: str
    tracestate: str
    create_time: float
    update_time: float
    end_time: float | None
    idle_seconds: float
    idle_since: float | None
    paused: float | None
    restored_from: str


@dataclass(frozen=True)
class NewEvent:
    """An event to be journaled. `data` is JSON-able; a `key` that the run has used before drops the event."""

    type: str
    step: str = ""
    hop_index: int = 0
    data: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    traceparent: str = ""


@dataclass(frozen=True)
class EventRecord:
    """A committed event. `sequence` orders all events of the file and is never used twice."""

    sequence: int
    run_id: str
    correlation_id: str
    type: str
    time: float
    step: str
    hop_index: int
    data: dict[str, Any]
    traceparent: str


@dataclass(frozen=True)
class NewMessage:
    """A message between roles of one run; `message_id` is unique in the run, repeats are dropped."""

    message_id: str
    sender_role: str
    recipient_role: str
    payload: str
    hop_index: int = 0
    traceparent: str = ""
    tracestate: str = ""


@dataclass(frozen=True)
class MessageRecord:
    """A committed message; `delivered` once a step of its recipient took it."""

    sequence: int
    run_id: str
    correlation_id: str
    message_id: str
    sender_role: str
    recipient_role: str
    payload: str
    hop_index: int
    traceparent: str
    tracestate: str
    create_time: float
    delivered: bool


@dataclass(frozen=True)
class LedgerEntry:
    """The answer of one completed call. `create_time` 0 means the time of recording."""

    call_id: str
    run_id: str
    ordinal: int
    method: str
    request_hash: str
    response: bytes
    create_time: float = 0.0
