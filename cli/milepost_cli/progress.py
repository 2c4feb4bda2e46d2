"""Where a run is, folded from its events in order; what the views show beside the single events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from milepost.agent.v1 import agent_pb2
from milepost_service.json_form import struct_to_json

WAITING_EVENTS = ("QuestionAsked", "ApprovalRequested")
ENDS_OF_WAITING = ("QuestionAnswered", "ApprovalDecided", "RunCompleted")


@dataclass(frozen=True)
class Event:
    """A journal event with its data as plain values."""

    sequence: int
    type: str
    step: str
    hop_index: int
    time: float  # seconds since the epoch
    data: Mapping[str, Any]

    @classmethod
    def of(cls, event: agent_pb2.RunEvent) -> Event:
        data = struct_to_json(event.data)
        return cls(event.sequence, event.type, event.step, event.hop_index, event.time.ToNanoseconds() / 1e9, data)

    def text(self, name: str) -> str:
        value = self.data.get(name)
        return "" if value is None else str(value)

    def number(self, name: str) -> float:
        value = self.data.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    def entries(self, name: str) -> Sequence[Mapping[str, Any]]:
        value = self.data.get(name)
        return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


@dataclass
class Progress:
    """Mutable summary of a run; `update` takes its events in order. `option` ends every command that is shown."""

    run_id: str
    workflow: str
    option: str = ""
    max_hops: int = 0
    remaining_hops: int = 0
    current_cycle: int = 0
    max_cycles: int = 0
    step: str = ""
    service: str = ""
    doing: str = "accepted"
    waiting: bool = False
    outcome: str = ""
    reason: str = ""
    result: str = ""
    recommendation: Event | None = None
    decision: Event | None = None
    started: float | None = None
    last_time: float = 0.0
    recoveries: int = 0

    @classmethod
    def of(cls, run: agent_pb2.Run, option: str = "") -> Progress:
        return cls(
            run.run_id,
            run.workflow,
            option,
            max_hops=run.max_hops,
            remaining_hops=run.max_hops,
            max_cycles=run.max_cycles,
        )

    def update(self, event: Event) -> None:
        self.last_time = event.time
        if self.started is None:
            self.started = event.time
        for name in ("remaining_hops", "current_cycle", "max_cycles", "max_hops"):
            if name in event.data:
                setattr(self, name, int(event.number(name)))
        self.step = event.step or self.step
        if event.type in DOING:
            self.doing = DOING[event.type]
        self.waiting = event.type in WAITING_EVENTS or (self.waiting and event.type not in ENDS_OF_WAITING)
        handler = HANDLERS.get(event.type)
        if handler is not None:
            handler(self, event)

    @property
    def cycle_text(self) -> str:
        """ "Review Cycle 1 of 2", or nothing for a run without cycles."""
        return f"Review Cycle {self.current_cycle} of {self.max_cycles}" if self.current_cycle else ""

    @property
    def hops_text(self) -> str:
        return f"{self.remaining_hops} of {self.max_hops} hops remain" if self.max_hops else ""

    def resumed(self, event: Event) -> None:
        self.recoveries += 1
        self.step = event.step or event.text("step")
        self.doing = f"resumed at {self.step}" if self.step else "resumed"

    def recommended(self, event: Event) -> None:
        self.recommendation, self.decision = event, None

    def decided(self, event: Event) -> None:
        self.decision = event

    def step_started(self, event: Event) -> None:
        self.service = event.text("service")
        self.doing = f"{event.step} by {self.service}" if self.service else event.step

    def completed(self, event: Event) -> None:
        self.outcome, self.reason = event.text("outcome"), event.text("reason")
        self.result = event.text("result")


DOING = {
    "RunStarted": "routing",
    "Recommended": "arbitrating",
    "Decided": "decided",
    "StepCompleted": "routing",
    "StepSkipped": "routing",
    "QuestionAsked": "waiting for an answer",
    "QuestionAnswered": "answered",
    "ApprovalRequested": "waiting for an approval",
    "ApprovalDecided": "approval decided",
    "RunPaused": "paused",
    "RunContinued": "going on",
    "RunCompleted": "ended",
}
HANDLERS: Mapping[str, Callable[[Progress, Event], None]] = {
    "RunResumed": Progress.resumed,
    "Recommended": Progress.recommended,
    "Decided": Progress.decided,
    "StepStarted": Progress.step_started,
    "RunCompleted": Progress.completed,
}
