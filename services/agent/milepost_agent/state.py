"""The checkpointed state of a run. JSON-able values only, so that a checkpoint never needs a class to be read."""

from dataclasses import dataclass
from typing import NotRequired, TypedDict

APPROVE = "approve"
REVISE = "revise"
VERDICTS = (APPROVE, REVISE)


class Output(TypedDict):
    """What a step answered."""

    step: str
    role: str
    service: str
    text: str
    verdict: str
    cycle: int
    hop_index: int


class Message(TypedDict):
    """An A2A message that is delivered to the step which is up."""

    message_id: str
    sender_role: str
    recipient_role: str
    payload: str
    hop_index: int
    # Of the sender. A message that an older release delivered has neither.
    traceparent: NotRequired[str]
    tracestate: NotRequired[str]


class Choice(TypedDict):
    """One valid choice of the arbitrator with the numbers behind it; probabilities in [0, 1].

    `log_probability` is the mean per token of the choice under the model, `evidence` (nats, at most 0) what the request
    makes of it beside the best; both are 0 when no model was heard.
    """

    choice: str
    probability: float
    prior: float
    log_probability: float
    evidence: float


class Decision(TypedDict):
    """What the arbitrator decided; `action` is invoke, skip, finish or ask.

    `agreed` is true when the service that is invoked is the one that the router recommended first. An invoked service
    that is not was overruled; to skip, finish or ask is neither.
    """

    action: str
    service: str
    agreed: bool
    reason: str
    choices: list[Choice]
    duration_ms: float


class RunState(TypedDict):
    """Channels of the graph. Every budget is here, so that it holds over restarts."""

    prompt: str
    max_hops: int
    remaining_hops: int
    current_cycle: int
    max_cycles: int
    next_step: str
    outputs: list[Output]
    recommendation: NotRequired[dict[str, object]]
    relevance: NotRequired[float]
    decision: NotRequired[Decision]
    inbox: NotRequired[list[Message]]
    clarification: NotRequired[str]
    outcome: NotRequired[str]
    reason: NotRequired[str]
    # Seconds on the run's own clock. A run of an older release has neither.
    time_limit: NotRequired[float]
    hop_ends: NotRequired[float]


class StateUpdate(TypedDict, total=False):
    """What a node changes."""

    remaining_hops: int
    current_cycle: int
    next_step: str
    outputs: list[Output]
    recommendation: dict[str, object]
    relevance: float
    decision: Decision
    inbox: list[Message]
    clarification: str
    outcome: str
    reason: str
    hop_ends: float


@dataclass(frozen=True)
class RunContext:
    """Facts of a run that do not change while it is driven; `clock_zero` in seconds since the epoch.

    The clock of a run stands still while it waits for a person, is paused, or no process drives it. `clock_zero` is
    what it would have to be set off at to read what it reads now: a time of the run plus this is a time of the day.
    """

    run_id: str
    correlation_id: str
    clock_zero: float
    traceparent: str = ""
    tracestate: str = ""


def hop_index(state: RunState) -> int:
    """The 1-based number of the hop that is up."""
    return state["max_hops"] - state["remaining_hops"] + 1


def best_draft(outputs: list[Output]) -> str:
    """The newest output that is work and not a judgement of work; empty when there is none yet."""
    return next((output["text"] for output in reversed(outputs) if not output["verdict"]), "")
