"""What goes into the store and what comes out of it. All times are seconds since the epoch (float)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

ACCEPTED: Final = "accepted"
RUNNING: Final = "running"
PAUSED: Final = "paused"
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
    time_limit: float = 900.0
    """Seconds that the run may work."""
    traceparent: str = ""
    tracestate: str = ""


@dataclass(frozen=True)
class NewRequest:
    """A request that changes something once: the same id and hash again changes nothing."""

    request_id: str
    method: str
    request_hash: str


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
    time_limit: float

    @property
    def clock_zero(self) -> float:
        """When the run's own clock, which stands still while it is idle, would have read 0 if it never had stood."""
        return self.create_time + self.idle_seconds

    @property
    def input_id(self) -> str:
        """Id of the question or approval that the run waits for; empty when it waits for none."""
        pending = self.pending or {}
        return str(pending.get(f"{pending['kind']}_id", "")) if "kind" in pending else ""

    @property
    def is_answered(self) -> bool:
        """Whether what the run waits for, or waited for last, has its answer."""
        return "answer" in (self.pending or {})

    @property
    def is_drivable(self) -> bool:
        """Whether a process may go on with the run: it has not ended, is not paused, and waits for nobody."""
        return self.state != ENDED and self.paused is None and (self.state != WAITING or self.is_answered)

    def waits_for(self, input_id: str, *, kind: str = "") -> bool:
        """Whether the run waits for this input, of this kind if one is given, and has no answer to it yet."""
        pending = self.pending or {}
        waits = self.state == WAITING and self.input_id == input_id and not self.is_answered
        return waits and kind in ("", pending.get("kind"))

    def elapsed(self, now: float) -> float:
        """Seconds on the run's own clock."""
        stopped = self.end_time if self.end_time is not None else self.idle_since
        return max((now if stopped is None else min(stopped, now)) - self.clock_zero, 0.0)


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
    """A committed event. `sequence` orders all events of the file and is never used twice.

    `run_id` is empty for an event of the agent itself.
    """

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
