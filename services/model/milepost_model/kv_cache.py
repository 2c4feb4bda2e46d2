"""Who has which tokens in the KV cache: running sequences, and ended ones that are kept for what begins alike.

Nothing here knows llama.cpp. Cells that two sequences share are counted for both, so the count errs on the safe side.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol

WORTH_SHARING = 32
"""Tokens; for fewer, a sequence does not wait until another has computed them."""
KEPT_FOR = 1024
"""Tokens that may be computed until what is kept for nobody gives way. Attention passes over each cell of others for
every token, about a five-thousandth of what computing that cell anew takes: from some time on keeping costs more."""


class Memory(Protocol):
    """What the cache does to llama.cpp's memory. Ids are those of llama.cpp's sequences."""

    def copy(self, source: int, target: int, length: int) -> None:
        """The first `length` tokens of `source` are those of `target` too; they take no further cells."""

    def remove(self, sequence: int, start: int) -> None:
        """Forgets the tokens of a sequence from position `start` on."""


@dataclass(eq=False)
class KvSequence:
    """Tokens that are computed, and those that are to be computed next."""

    id: int
    reserved: int = 0
    """Cells that it and its forks take at most."""
    tokens: list[int] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    trunk: "KvSequence | None" = None
    """The sequence that a fork goes on from."""
    scored: bool = False
    """Whether the logits of every token are wanted, not only those of the last that is pending."""
    prompt: Sequence[int] = ()
    """What it computes before it makes tokens of its own: what others may wait for."""
    reused: int = 0
    """Tokens of the prompt that another sequence had computed."""
    leader: "tuple[KvSequence, int] | None" = None
    """A sequence that is about to compute the first so many of our tokens; we wait for it."""
    used_at: int = 0
    """The cache's clock when it ended, or when another last took over what is kept of it."""


class KvCache:
    """At most `size` tokens under at most `ids` sequences; what is kept gives way, the least recently used first."""

    def __init__(self, memory: Memory, *, size: int, ids: int, forks: int, can_share: bool = True) -> None:
        """At most `forks` of the ids go to forks, so that they keep no request from beginning."""
        self.size = size
        self.open: list[KvSequence] = []
        """Running sequences, in the order in which they came; forks among them."""
        self._memory = memory
        self._clock = 0
        """Tokens that were computed since the start."""
        self._forks = forks
        self._free = list(reversed(range(ids)))
        self._kept: list[KvSequence] = []
        self._can_share = can_share

    @property
    def reserved(self) -> int:
        """Cells that running sequences take at most."""
        return sum(sequence.reserved for sequence in self.open)

    @property
    def kept(self) -> int:
        """Tokens of ended sequences."""
        return sum(len(sequence.tokens) for sequence in self._kept)

    def age(self, tokens: int) -> None:
        """So many are computed, of whichever sequences; what has been kept for too many gives way."""
        self._clock += tokens
        while self._kept and self._clock - self._kept[0].used_at > KEPT_FOR:
            self._forget(self._kept[0])

    def begin(self, prompt: Sequence[int], reserved: int) -> KvSequence | None:
        """A sequence with as much of the prompt as is there already, all but its last token at most.

        None when there is no room for it now. What is kept makes room.
        """
        if self.reserved + reserved > self.size:
            return None
        donor, shared = self._donor(prompt, [*self._kept, *self.open])
        while self.reserved + self.kept + reserved > self.size or not self._free:
            oldest = next((sequence for sequence in self._kept if sequence is not donor), None)
            if oldest is None:
                break
            self._forget(oldest)
        if donor in self._kept and (self.reserved + self.kept + reserved > self.size or not self._free):
            sequence = self._taken_over(donor, shared)
        elif self._free:
            sequence = KvSequence(self._free.pop())
            self._share(donor, sequence, shared)
        else:
            return None
        sequence.prompt, sequence.reserved = prompt, reserved
        sequence.pending = list(prompt[len(sequence.tokens) :])
        sequence.leader = self._leader(sequence, self.open)
        self.open.append(sequence)
        return sequence

    def fork(self, trunk: KvSequence, tokens: Sequence[int]) -> KvSequence | None:
        """A sequence that goes on from all of its trunk's tokens, within its reservation; None: too many already."""
        if not self._free and self._kept:
            self._forget(self._kept[0])
        if not self._free or sum(1 for sequence in self.open if sequence.trunk) >= self._forks:
            return None
        fork = KvSequence(self._free.pop(), pending=list(tokens), trunk=trunk, scored=True)
        self._memory.copy(trunk.id, fork.id, len(trunk.tokens))
        fork.tokens = list(trunk.tokens)
        self.open.append(fork)
        return fork

    def restart(self, sequence: KvSequence, prompt: Sequence[int]) -> None:
        """The sequence computes another prompt within its reservation; what both begin with stays."""
        shared = shared_length(sequence.tokens, prompt) if self._can_share else 0
        self._memory.remove(sequence.id, shared)
        del sequence.tokens[shared:]
        sequence.prompt, sequence.pending = prompt, list(prompt[shared:])

    def end(self, sequence: KvSequence, *, keep: bool) -> None:
        """The sequence runs no longer; `keep` leaves its tokens for others until their room is needed."""
        self.open.remove(sequence)
        sequence.pending.clear()
        for other in list(self._kept):
            if keep and sequence.tokens[: len(other.tokens)] == other.tokens:
                self._forget(other)
        self._keep(sequence)
        if not (keep and sequence.tokens and self._can_share):
            self._forget(sequence)

    def waits(self, sequence: KvSequence) -> bool:
        """Whether another is about to compute what this one needs; takes it over as soon as it is there."""
        if sequence.leader is None:
            return False
        leader, shared = sequence.leader
        if leader in self.open and len(leader.tokens) < shared:
            return True
        donor, shared = self._donor(sequence.prompt, [*self._kept, *(each for each in self.open if each != sequence)])
        self._share(donor, sequence, shared)
        sequence.pending = list(sequence.prompt[len(sequence.tokens) :])
        sequence.leader = self._leader(sequence, takewhile(lambda other: other is not sequence, self.open))
        return sequence.leader is not None

    def _donor(self, prompt: Sequence[int], others: Iterable[KvSequence]) -> tuple[KvSequence | None, int]:
        """Who has computed most of the prompt's beginning, and how many tokens of it."""
        best: tuple[KvSequence | None, int] = (None, 0)
        for other in others if self._can_share else ():
            shared = shared_length(other.tokens, prompt)
            if shared > best[1]:
                best = other, shared
        return best

    def _leader(self, sequence: KvSequence, earlier: Iterable[KvSequence]) -> tuple[KvSequence, int] | None:
        for other in earlier if self._can_share else ():
            shared = shared_length(other.prompt, sequence.prompt)
            if len(other.tokens) < shared and shared - len(sequence.tokens) >= WORTH_SHARING:
                return other, shared
        return None

    def _share(self, donor: KvSequence | None, sequence: KvSequence, shared: int) -> None:
        if donor is None or shared <= len(sequence.tokens):
            return
        if sequence.tokens:
            self._memory.remove(sequence.id, 0)
        self._memory.copy(donor.id, sequence.id, shared)
        sequence.tokens, sequence.reused = donor.tokens[:shared], shared
        if donor in self._kept:
            self._kept.remove(donor)
            self._keep(donor)

    def _keep(self, sequence: KvSequence) -> None:
        sequence.used_at = self._clock
        self._kept.append(sequence)

    def _taken_over(self, donor: KvSequence, shared: int) -> KvSequence:
        self._kept.remove(donor)
        self._memory.remove(donor.id, shared)
        return KvSequence(donor.id, tokens=donor.tokens[:shared], reused=shared)

    def _forget(self, sequence: KvSequence) -> None:
        self._kept.remove(sequence)
        self._memory.remove(sequence.id, 0)
        self._free.append(sequence.id)


def shared_length(tokens: Sequence[int], prompt: Sequence[int]) -> int:
    """How many tokens both begin with; never the prompt's last, whose logits are wanted."""
    pairs = zip(tokens, prompt[: len(prompt) - 1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
