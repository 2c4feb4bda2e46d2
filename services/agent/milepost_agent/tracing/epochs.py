"""Which process committed an event: each says so once, before anything else, by an event of the agent itself."""

from bisect import bisect_right
from collections.abc import Iterable

from milepost_agent.store import EventRecord

STARTED = "AgentStarted"


class Epochs:
    """The epochs of a journal by sequence; 0 before the first that is known."""

    def __init__(self, own: Iterable[EventRecord] = ()) -> None:
        self._sequences: list[int] = []
        self._epochs: list[int] = []
        for event in own:
            self.take(event)

    def take(self, event: EventRecord) -> None:
        """Notes a start; other events, and those that are known, change nothing."""
        if event.type == STARTED and event.sequence > self.known:
            self._sequences.append(event.sequence)
            self._epochs.append(int(event.data.get("epoch", 0)))

    @property
    def known(self) -> int:
        """The sequence of the newest start that is known."""
        return self._sequences[-1] if self._sequences else 0

    def of(self, sequence: int) -> int:
        """The epoch in which an event was committed."""
        place = bisect_right(self._sequences, sequence)
        return self._epochs[place - 1] if place else 0

    def before_last(self) -> int:
        """The epoch before the newest."""
        return self._epochs[-2] if len(self._epochs) > 1 else 0
