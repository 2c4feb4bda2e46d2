"""What is computed next, and who may begin: fair to short and to long prompts. Nothing here knows llama.cpp."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from milepost_model.kv_cache import KvCache, KvSequence

BATCH_TOKENS = 128
"""Most tokens of a batch: more are hardly read faster, and hold up for longer whoever comes meanwhile."""


class Ask(Protocol):
    """What a request needs of the cache."""

    @property
    def prompt(self) -> Sequence[int]:
        """Its tokens."""

    @property
    def reserved(self) -> int:
        """Cells that prompt and answer take at most, so that whatever begins can also end."""


AskT = TypeVar("AskT", bound=Ask)


@dataclass(frozen=True)
class Slice:
    """The next `count` tokens that are pending in a sequence."""

    sequence: KvSequence
    count: int

    @property
    def outputs(self) -> int:
        """How many of its last tokens have logits that are wanted."""
        if self.sequence.scored:
            return self.count
        return int(self.count == len(self.sequence.pending))


class Scheduler(Generic[AskT]):
    """First come, first served to begin; then everyone gets on in every batch."""

    def __init__(self, cache: KvCache, *, side_by_side: int, beside: int) -> None:
        self.cache = cache
        self.waiting: deque[AskT] = deque()
        self._side_by_side = side_by_side
        """Most requests that run at once; with their forks, fewer than BATCH_TOKENS."""
        self._beside = beside
        """Tokens of prompts in a batch in which somebody makes a token: as many as hold that up for a moment only."""
        self._running = 0

    def admit(self) -> list[tuple[AskT, KvSequence]]:
        """Those that begin now. One that finds no room holds up those behind it, or it would never find any."""
        begun = []
        while self.waiting and self._running < self._side_by_side:
            ask = self.waiting[0]
            sequence = self.cache.begin(ask.prompt, ask.reserved)
            if sequence is None:
                break
            self.waiting.popleft()
            self._running += 1
            begun.append((ask, sequence))
        return begun

    def ended(self, sequence: KvSequence, *, keep: bool = True) -> None:
        """A request that had begun is over; `keep` leaves its tokens for others while there is room."""
        self._running -= 1
        self.cache.end(sequence, keep=keep)

    def next_batch(self) -> list[Slice]:
        """One token of each sequence that makes some, and in equal shares what others have to read.

        The prompt with the least left gets half of what may be read before the rest is shared.
        """
        ready = [sequence for sequence in self.cache.open if sequence.pending and not self.cache.waits(sequence)]
        making = [sequence for sequence in ready if len(sequence.pending) == 1]
        reading = [sequence for sequence in ready if len(sequence.pending) > 1]
        room = BATCH_TOKENS - len(making)
        budget = min(room, max(self._beside, len(reading))) if making else room
        shares = fair_shares(budget, [len(sequence.pending) for sequence in reading])
        self.cache.age(len(making) + sum(shares))
        return [
            *(Slice(sequence, 1) for sequence in making),
            *(Slice(sequence, count) for sequence, count in zip(reading, shares, strict=True)),
        ]


def computed(part: Slice) -> None:
    """The tokens of the slice are in the cache now."""
    sequence = part.sequence
    sequence.tokens += sequence.pending[: part.count]
    del sequence.pending[: part.count]


def fair_shares(budget: int, wanted: Sequence[int]) -> list[int]:
    """How much each gets of a budget of at least one for each: the smallest half, then all equally much."""
    shares = [0] * len(wanted)
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    for position, index in enumerate(order):
        behind = len(order) - position - 1
        share = budget // (behind + 1)
        if position == 0:
            share = max(share, min(budget // 2, budget - behind))
        shares[index] = min(wanted[index], share)
        budget -= shares[index]
    return shares
