"""Which observability mode is in force, from what is configured, what a person set, and what crashed. Pure.

What counts, with the newest first:

- *By hand* (`SetObservability`): holds for the time that was given, or until something newer. Afterwards what is
  configured is in force again.
- *Configured* (file, environment, workflow: see `milepost_service.telemetry.mode`): when it becomes another mode than
  before, also while no agent ran, it ends what was set by hand before and the time of a crash. Writing the same mode
  again changes nothing.
- *A crash* (the process before did not end in order): turns debug on for `crash_seconds`. The deadline is stored, and
  no crash within it moves it. Crashes that follow each other are one series with one such time; the series is over,
  and the next crash counts again, once a process has lived for `crash_seconds`. So a process that keeps crashing does
  not keep debug on. A crash does not cut short a debug that lasts longer. It turns debug on over a `shipping` that a
  person set before it; one that is set afterwards ends its time, and no crash of the same series brings it back.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from milepost_service.telemetry.mode import Mode

CRASH_DETECTED: Final = "crash detected"
DEADLINE_PASSED: Final = "deadline passed"
MODES: Final = ("shipping", "debug")


@dataclass(frozen=True)
class ModeRecord:
    """`until` in seconds since the epoch; None when the mode does not end by itself."""

    mode: Mode
    until: float | None
    cause: str

    def lasts(self, now: float) -> bool:
        return self.until is None or self.until > now


@dataclass(frozen=True)
class Rules:
    """All that decides about the mode, as it is stored. `in_force` is what was last said to be so."""

    configured: ModeRecord
    in_force: ModeRecord
    by_hand: ModeRecord | None = None
    crash_until: float | None = None
    series: bool = False
    """A crash was detected, and no process has lived for long enough since."""

    @classmethod
    def of(cls, configured: ModeRecord) -> "Rules":
        return cls(configured, configured)

    def at(self, now: float) -> ModeRecord:
        """What is in force at this time, in seconds since the epoch."""
        hand = self.by_hand if self.by_hand is not None and self.by_hand.lasts(now) else None
        below = hand or self.configured
        if self.crash_until is None or self.crash_until <= now:
            return below
        if below.mode == "debug" and (below.until is None or below.until >= self.crash_until):
            return below
        return ModeRecord("debug", self.crash_until, CRASH_DETECTED)

    def next_end(self, now: float) -> float | None:
        """When something may be different by itself; None when never."""
        hand = self.by_hand.until if self.by_hand is not None else None
        ends = [end for end in (hand, self.crash_until) if end is not None and end > now]
        return min(ends, default=None)

    def configure(self, configured: ModeRecord) -> "Rules":
        if configured.mode == self.configured.mode:
            return replace(self, configured=configured)
        return replace(self, configured=configured, by_hand=None, crash_until=None)

    def set_by_hand(self, record: ModeRecord) -> "Rules":
        return replace(self, by_hand=record, crash_until=None)

    def crashed(self, now: float, seconds: float) -> "Rules":
        if self.series:
            return self
        return replace(self, crash_until=now + seconds, series=True)

    def lived(self) -> "Rules":
        """A process has lived for long enough: the next crash counts again."""
        return replace(self, series=False)

    def settled(self, now: float, crash_seconds: float) -> "Rules":
        """Without what is over, and with no deadline of a crash that a clock set back would keep for longer."""
        hand = self.by_hand if self.by_hand is not None and self.by_hand.lasts(now) else None
        until = self.crash_until
        if until is not None:
            until = min(until, now + crash_seconds) if until > now else None
        return replace(self, by_hand=hand, crash_until=until)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def rules_from(stored: Mapping[str, Any], configured: ModeRecord) -> Rules:
    """What was stored by this release or an earlier one, which kept only the mode that was set by hand."""
    if "in_force" not in stored:
        return replace(Rules.of(configured), by_hand=ModeRecord(**stored))
    hand = stored["by_hand"]
    return Rules(
        configured=ModeRecord(**stored["configured"]),
        in_force=ModeRecord(**stored["in_force"]),
        by_hand=None if hand is None else ModeRecord(**hand),
        crash_until=stored["crash_until"],
        series=stored["series"],
    )
