"""Children that someone else keeps changing back: they are repaired too, but ever more slowly, and it is said."""

from collections import deque
from dataclasses import dataclass, field

from milepost_operator.names import ANNOTATION_APPLIED_HASH
from milepost_operator.observation import Object, ObjectKey

REPAIRS = 5
WINDOW_SECONDS = 60.0
LONGEST_DELAY_SECONDS = 300.0


@dataclass(slots=True)
class _History:
    intent: str
    repairs: deque[float] = field(default_factory=deque)
    excess: int = 0


class Contests:
    """Counts how often the same intent had to be written again. Times are seconds of any steady clock."""

    def __init__(self) -> None:
        self._histories: dict[str, dict[ObjectKey, _History]] = {}

    def applied(self, owner_uid: str, child: ObjectKey, manifest: Object, now: float) -> bool:
        """Notes that a child was written; whether it had been written like that before, so that this is a repair."""
        children = self._histories.setdefault(owner_uid, {})
        intent = _intent(manifest)
        history = children.get(child)
        if history is None or history.intent != intent:
            children[child] = _History(intent)
            return False
        if self._is_contested(history, now):
            history.excess += 1
        else:
            history.excess = 0
        history.repairs.append(now)
        return True

    def has_written(self, owner_uid: str, child: ObjectKey) -> bool:
        """Whether this child of a resource was ever written."""
        return child in self._histories.get(owner_uid, {})

    def delay(self, owner_uid: str, child: ObjectKey, manifest: Object, now: float) -> float:
        """Seconds that must pass before this child may be repaired again; 0 for at once."""
        history = self._histories.get(owner_uid, {}).get(child)
        if history is None or history.intent != _intent(manifest) or not self._is_contested(history, now):
            return 0.0
        wait = min(LONGEST_DELAY_SECONDS, 2.0 ** (history.excess + 1))
        return max(0.0, history.repairs[-1] + wait - now)

    def contested(self, owner_uid: str, now: float) -> tuple[ObjectKey, ...]:
        """Children of a resource that were changed back more than five times in a minute, until it stops."""
        children = self._histories.get(owner_uid, {})
        return tuple(sorted(child for child, history in children.items() if self._is_contested(history, now)))

    def forget(self, owner_uid: str) -> None:
        """The resource is gone."""
        self._histories.pop(owner_uid, None)

    def _is_contested(self, history: _History, now: float) -> bool:
        repairs = history.repairs
        while len(repairs) > REPAIRS + 1:
            repairs.popleft()
        # While it is repaired slowly, the window grows with the delay, or the contest would seem to be over.
        window = max(WINDOW_SECONDS, 2 * min(LONGEST_DELAY_SECONDS, 2.0 ** (history.excess + 1)))
        if history.excess:
            return now - repairs[-1] <= window
        return len(repairs) > REPAIRS and now - repairs[0] <= window


def _intent(manifest: Object) -> str:
    annotations = manifest["metadata"].get("annotations") or {}
    return str(annotations.get(ANNOTATION_APPLIED_HASH, ""))
