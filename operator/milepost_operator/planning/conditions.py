"""Conditions as values: what is wrong, what is the case, and since when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from milepost_crds import Condition

MESSAGE_LIMIT = 4096
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Problem:
    """Something that is not as asked: a CamelCase reason for programs, and what to do about it for people."""

    reason: str
    message: str


@dataclass(frozen=True)
class Aspect:
    """One condition as it is now, whatever it was before."""

    type: str
    status: Truth
    reason: str
    message: str = ""

    @classmethod
    def holds(cls, type_: str, reason: str, message: str = "") -> "Aspect":
        """An aspect that is true."""
        return cls(type_, "True", reason, message)

    @classmethod
    def fails(cls, type_: str, problems: Sequence[Problem]) -> "Aspect":
        """An aspect that is false because of these problems; the first one names the reason."""
        return cls(type_, "False", problems[0].reason, joined(problems))


def joined(problems: Sequence[Problem]) -> str:
    """The messages of all problems, each once, as one text."""
    return "; ".join(dict.fromkeys(problem.message for problem in problems))


def conditions(
    aspects: Sequence[Aspect], previous: Sequence[Condition], *, generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The aspects as conditions in their order; an unchanged status keeps the time since when it has been so."""
    since = {condition.type: condition for condition in previous}
    return [_condition(aspect, since.get(aspect.type), generation, now) for aspect in aspects]


def changed(aspect: Mapping[str, Any], previous: Condition | None) -> bool:
    """Whether the status differs from what it was, or is known for the first time."""
    return previous is None or previous.status != aspect["status"]


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, in whole seconds."""
    return moment.astimezone(UTC).strftime(_FORMAT)


def seconds_since(text: str, now: datetime) -> float:
    """Seconds from a time stamp until now; 0 for one that cannot be read or lies ahead."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return max(0.0, (now - moment.replace(tzinfo=moment.tzinfo or UTC)).total_seconds())


def _condition(aspect: Aspect, previous: Condition | None, generation: int, now: datetime) -> dict[str, Any]:
    stays = previous is not None and previous.status == aspect.status
    condition: dict[str, Any] = {"type": aspect.type, "status": aspect.status, "reason": aspect.reason}
    if aspect.message:
        condition["message"] = _cut(aspect.message)
    condition["observedGeneration"] = generation
    condition["lastTransitionTime"] = previous.last_transition_time if previous and stays else timestamp(now)
    return condition


def _cut(message: str) -> str:
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
