"""Who gets on in which batch, and what the KV cache holds: over a memory of cells that knows nothing of llama.cpp."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost_model.kv_cache import KEPT_FOR, WORTH_SHARING, KvCache, KvSequence
from milepost_model.scheduler import BATCH_TOKENS, Scheduler, Slice, computed, fair_shares

pytestmark = pytest.mark.requirement("MOD-1")
BESIDE = 16


class Cells:
    """Memory as llama.cpp has it: a cell belongs to all sequences that share it, and is free when none does."""

    def __init__(self) -> None:
        self.of: dict[int, list[tuple[int, int]]] = {}
        self._next = 0

    def copy(self, source: int, target: int, length: int) -> None:
        assert not self.of.get(target), "the target holds tokens already"
        assert length <= len(self.of[source])
        self.of[target] = self.of[source][:length]

    def remove(self, sequence: int, start: int) -> None:
        del self.of.setdefault(sequence, [])[start:]

    def compute(self, part: Slice) -> None:
        cells = self.of.setdefault(part.sequence.id, [])
        assert len(cells) == len(part.sequence.tokens)
        for token in part.sequence.pending[: part.count]:
            self._next += 1
            cells.append((self._next, token))

    @property
    def taken(self) -> int:
        return len({cell for cells in self.of.values() for cell, _ in cells})


@dataclass(eq=False)
class Ask:
    """A request whose answer has `answer` tokens, which comes before batch `comes` and is cancelled before `leaves`."""

    prompt: Sequence[int]
    answer: int = 1
    comes: int = 0
    leaves: int | None = None
    made: int = 0
    ends: int = 0

    @property
    def reserved(self) -> int:
        return len(self.prompt) + self.answer


@dataclass
class World:
    """A scheduler that is driven from batch to batch as the owner's thread does."""

    size: int = 2048
    ids: int = 12
    side_by_side: int = 4
    can_share: bool = True
    cells: Cells = field(default_factory=Cells)
    running: dict[KvSequence, Ask] = field(default_factory=dict)
    computed_tokens: int = 0

    def __post_init__(self) -> None:
        forks = self.ids - self.side_by_side
        self.cache = KvCache(self.cells, size=self.size, ids=self.ids, forks=forks, can_share=self.can_share)
        self.scheduler: Scheduler[Ask] = Scheduler(self.cache, side_by_side=self.side_by_side, beside=BESIDE)

    def begin(self, *asks: Ask) -> list[KvSequence]:
        self.scheduler.waiting.extend(asks)
        return self.admit()

    def admit(self) -> list[KvSequence]:
        begun = {sequence: ask for ask, sequence in self.scheduler.admit()}
        self.running |= begun
        return list(begun)

    def batch(self) -> list[Slice]:
        parts = self.scheduler.next_batch()
        for part in parts:
            self.cells.compute(part)
            self.computed_tokens += part.count
            computed(part)
        for sequence, ask in list(self.running.items()):
            if not sequence.pending:
                self._make(sequence, ask)
        return parts

    def end(self, sequence: KvSequence) -> None:
        self.running.pop(sequence).ends += 1
        self.scheduler.ended(sequence)

    def run(self) -> int:
        """Batches until nothing is left to do."""
        batches = 0
        while self.running or self.scheduler.waiting:
            self.admit()
            assert self.batch(), "somebody waits and nothing is computed"
            batches += 1
        return batches

    def _make(self, sequence: KvSequence, ask: Ask) -> None:
        ask.made += 1
        if ask.made >= ask.answer:
            self.end(sequence)
        else:
            sequence.pending.append(1000 + ask.made)


asks = st.builds(
    Ask,
    prompt=st.tuples(st.integers(0, 120), st.lists(st.integers(0, 1), min_size=1, max_size=150)).map(
        lambda parts: [7] * parts[0] + parts[1]
    ),
    answer=st.integers(1, 60),
    comes=st.integers(0, 30),
    leaves=st.none() | st.integers(0, 60),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(asks, min_size=1, max_size=14), st.integers(400, 900), st.integers(1, 5), st.booleans())
def test_everyone_gets_on_in_every_batch_and_ends_once_within_the_cells_that_there_are(
    everyone: list[Ask], size: int, side_by_side: int, can_share: bool
) -> None:
    world = World(size=size, ids=side_by_side + 3, side_by_side=side_by_side, can_share=can_share)
    batch = 0
    while any(not ask.ends for ask in everyone):
        world.scheduler.waiting.extend(ask for ask in everyone if ask.comes == batch)
        for ask in [ask for ask in world.scheduler.waiting if ask.leaves is not None and ask.leaves <= batch]:
            world.scheduler.waiting.remove(ask)
            ask.ends += 1
        for sequence, ask in list(world.running.items()):
            if ask.leaves is not None and ask.leaves <= batch:
                world.end(sequence)
        world.admit()
        able = [sequence for sequence in world.running if sequence.leader is None]
        parts = world.batch()
        assert {part.sequence for part in parts} >= set(able), "one that could get on did not"
        assert bool(parts) == bool(able), "everyone waits for another"
        assert sum(part.count for part in parts) <= BATCH_TOKENS
        assert world.cells.taken <= world.cache.reserved + world.cache.kept <= size
        for sequence in world.cache.open:
            assert [token for _, token in world.cells.of.get(sequence.id, [])] == sequence.tokens
        batch += 1
    assert all(ask.ends == 1 for ask in everyone)
    assert (world.cache.reserved, world.cache.open) == (0, [])


@given(st.integers(0, 256), st.lists(st.integers(1, 2000), max_size=20))
def test_shares_are_never_zero_and_use_all_that_there_is(spare: int, wanted: list[int]) -> None:
    budget = len(wanted) + spare
    shares = fair_shares(budget, wanted)
    assert all(1 <= share <= want for share, want in zip(shares, wanted, strict=True))
    assert sum(shares) == min(budget, sum(wanted))


def test_a_long_prompt_lets_those_that_make_tokens_make_one_in_every_batch() -> None:
    world = World()
    (short,) = world.begin(Ask([1, 2, 3], answer=100))
    world.batch()
    (long,) = world.begin(Ask(list(range(1000))))
    for _ in range(1000 // BESIDE):
        parts = {part.sequence: part.count for part in world.batch()}
        assert parts == {short: 1, long: BESIDE}


def test_a_short_prompt_is_read_while_a_long_one_still_is() -> None:
    world = World()
    long, short = world.begin(Ask(list(range(1000))), Ask([*range(5000, 5040)]))
    world.batch()
    world.batch()
    assert (short in world.running, long in world.running) == (False, True)


def test_what_finds_no_room_waits_and_lets_nobody_pass() -> None:
    world = World(size=1000)
    (first,) = world.begin(Ask([1] * 500, answer=300))
    large, small = Ask([2] * 500), Ask([3] * 10)
    assert world.begin(large, small) == []
    world.end(first)
    assert [world.running[sequence] for sequence in world.admit()] == [large, small]


def test_an_ended_sequence_is_a_beginning_for_the_next_and_what_is_oldest_gives_way() -> None:
    world = World(size=1000)
    system = list(range(300))
    world.begin(Ask([*system, 1]))
    world.run()
    (second,) = world.begin(Ask([*system, 2]))
    assert (second.reused, second.pending) == (300, [2])
    world.run()
    world.begin(Ask([9] * 400))
    world.run()
    before = world.computed_tokens
    world.begin(Ask([*range(5000, 5500)]))
    world.run()
    world.begin(Ask([9] * 400))
    world.run()
    assert world.computed_tokens - before == 500 + 1, "the most recent was forgotten before the oldest"


def test_a_beginning_is_taken_over_where_there_is_no_room_for_both() -> None:
    world = World(size=700)
    world.begin(Ask([*range(500)]))
    world.run()
    (sequence,) = world.begin(Ask([*range(450), *range(6000, 6100)], answer=50))
    assert sequence.reused == 450
    assert world.cells.taken == 450


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    world = World()
    prompt = list(range(100))
    world.begin(Ask(prompt))
    world.run()
    (again,) = world.begin(Ask(prompt))
    assert (again.reused, again.pending) == (99, [99])


def test_prompts_that_begin_alike_and_come_together_are_read_once() -> None:
    world = World(side_by_side=4)
    system = list(range(300))
    world.begin(*(Ask([*system, *range(1000 * n, 1000 * n + 10)]) for n in range(2, 6)))
    world.run()
    assert world.computed_tokens == 300 + 4 * 10


def test_who_waits_for_a_beginning_reads_it_when_the_other_leaves() -> None:
    world = World()
    system = list(range(300))
    leader, follower = world.begin(Ask([*system, 1]), Ask([*system, 2]))
    assert [part.sequence for part in world.batch()] == [leader]
    world.end(leader)
    assert [part.sequence for part in world.batch()] == [follower]
    assert follower.reused == BATCH_TOKENS
    world.run()
    assert world.computed_tokens == 300 + 1


def test_who_has_a_part_of_a_beginning_takes_over_the_longer_one() -> None:
    world = World()
    system = list(range(300))
    world.begin(Ask([*system[:100], 5000]))
    world.run()
    _, follower = world.begin(Ask([*system, 1]), Ask([*system, 2]))
    assert follower.reused == 100
    world.run()
    assert follower.reused == 300
    assert world.computed_tokens == 101 + 201 + 1


def test_nobody_waits_for_a_few_tokens() -> None:
    world = World()
    begin = [7] * (WORTH_SHARING - 1)
    sequences = world.begin(Ask([*begin, 1, 2]), Ask([*begin, 3, 4]))
    assert [part.sequence for part in world.batch()] == sequences


def test_a_fork_goes_on_from_its_trunk_and_its_cells_come_back() -> None:
    world = World(ids=3, side_by_side=1)
    (trunk,) = world.begin(Ask([1, 2, 3], answer=9))
    world.batch()
    forks = [world.cache.fork(trunk, [5, 6]), world.cache.fork(trunk, [7])]
    assert world.cache.fork(trunk, [8]) is None
    one, other = forks
    assert one is not None
    assert other is not None
    assert [(part.sequence, part.outputs) for part in world.batch()][-2:] == [(other, 1), (one, 2)]
    assert world.cells.taken == 4 + 3
    for fork in (one, other):
        world.cache.end(fork, keep=False)
    assert world.cells.taken == 4
    assert world.cache.fork(trunk, [8]) is not None


def test_forks_leave_an_id_to_each_request_that_may_begin() -> None:
    world = World(ids=5, side_by_side=2)
    (trunk,) = world.begin(Ask([1, 2, 3], answer=9))
    world.batch()
    forks = [world.cache.fork(trunk, [n, n]) for n in range(4)]
    assert forks[3] is None
    assert None not in forks[:3]
    assert len(world.begin(Ask([9] * 10))) == 1


def test_a_model_whose_state_cannot_be_parted_shares_nothing() -> None:
    world = World(can_share=False)
    for _ in range(2):
        world.begin(Ask([1] * 100))
        world.run()
    assert world.computed_tokens == 200
    assert world.cells.taken == 0


def test_what_nobody_took_over_gives_way_after_some_tokens_though_there_is_room() -> None:
    world = World(size=100_000, ids=64)
    used, unused = list(range(300)), list(range(5000, 5300))
    for prompt in (unused, used):
        world.begin(Ask([*prompt, 1]))
        world.run()
    for first in range(1, KEPT_FOR // 200 + 2):
        world.begin(Ask([9000 + first] * 200))
        (again,) = world.begin(Ask([*used, first]))
        assert again.reused == 300
        world.run()
    (late,) = world.begin(Ask([*unused, 2]))
    assert late.reused == 0
    world.end(late)
    assert world.cells.taken < 300 + KEPT_FOR + 2 * 300
