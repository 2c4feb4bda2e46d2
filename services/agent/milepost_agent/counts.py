"""What happened to the runs and to the store since the process began, counted whether or not anybody asks."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from milepost_agent.errors import StoreError
from milepost_agent.store import EventRecord, failure_reason
from milepost_service.serving_stats import CallTimes

DECISION_VERDICTS: Final = ("agreed", "overruled", "skipped", "finished", "asked")
"""What a decision can be beside its recommendation."""


@dataclass
class Counts:
    """Changed on the event loop alone."""

    failures: Counter[str] = field(default_factory=Counter)
    """Times that the store could not be written, by reason."""
    ended: Counter[str] = field(default_factory=Counter)
    """Runs that ended, by outcome."""
    recoveries: int = 0
    recommendations: Counter[str] = field(default_factory=Counter)
    """Recommendations of the router that a run went on with, by the path that answered."""
    recommendation_times: dict[str, CallTimes] = field(default_factory=dict)
    """Their times by that path, which include the paths that failed before it."""
    decisions: Counter[str] = field(default_factory=Counter)
    """Decisions of the arbitrator, by verdict."""
    last_backup: float | None = None
    """When the newest verified backup was made, in seconds since the epoch; None when there is none."""
    backup_failures: int = 0
    lag: Callable[[], int] = lambda: 0
    """Asked for the events whose spans are still to be exported."""

    def store_failed(self, failure: StoreError) -> None:
        """The store cannot be written since now."""
        self.failures[failure_reason(failure)] += 1

    def backup_succeeded(self, time: float) -> None:
        """A backup was verified that was made at this time, in seconds since the epoch."""
        self.last_backup = time

    def backup_failed(self) -> None:
        """A backup could not be made or did not verify."""
        self.backup_failures += 1

    def committed(self, events: Sequence[EventRecord]) -> None:
        """To be told of every commit of the store."""
        for event in events:
            if event.type == "RunCompleted":
                self.ended[str(event.data.get("outcome", ""))] += 1
            elif event.type == "Recommended":
                path = str(event.data.get("path", ""))
                self.recommendations[path] += 1
                times = self.recommendation_times.setdefault(path, CallTimes())
                times.add(float(event.data.get("duration_ms", 0.0)) / 1000)
            elif event.type == "Decided":
                self.decisions[_verdict(event.data)] += 1
            elif event.type == "RunResumed":
                self.recoveries += 1


def _verdict(decided: Mapping[str, Any]) -> str:
    other = {"skip": "skipped", "finish": "finished", "ask": "asked"}
    return other.get(str(decided.get("action")), "agreed" if decided.get("agreed") else "overruled")
