"""The owner's loop over a stand-in for llama.cpp: who begins, who is dropped, who is told."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from milepost_model.batcher import Aside, Batcher, Steps, Task
from milepost_model.context import Context
from milepost_model.errors import QueueFullError
from milepost_model.job import Job
from milepost_model.kv_cache import KvCache, KvSequence
from milepost_model.scheduler import Scheduler, Slice

pytestmark = pytest.mark.requirement("MOD-1")


class Rows:
    """Computes nothing, at once; `during` is called in the middle of each batch."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.during: Callable[[], None] = lambda: None
        self.is_cancelled = False

    def copy(self, source: int, target: int, length: int) -> None: ...
    def remove(self, sequence: int, start: int) -> None: ...

    def compute(self, slices: Sequence[Slice], cancelled: Callable[[], bool]) -> list[list[int]]:
        self.batches.append(sum(part.count for part in slices))
        self.during()
        self.is_cancelled = cancelled()
        return [[0] * part.outputs for part in slices]


class World:
    """A batcher with room for 100 cells, and a queue of one."""

    def __init__(self) -> None:
        self.rows = Rows()
        cache = KvCache(self.rows, size=100, ids=6, forks=2)
        scheduler: Scheduler[Task] = Scheduler(cache, side_by_side=4, beside=16)
        self.batcher = Batcher(cast("Context", self.rows), scheduler, queue_size=1)

    def submit(self, prompt: int, answer: int) -> Job[Any]:
        job: Job[Any] = Job()

        def work(trunk: KvSequence) -> Steps:
            for token in range(answer):
                yield
                trunk.pending = [token]
            return "ended"

        self.batcher.submit(Task(job, [id(job)] * prompt, prompt + answer, work))
        return job

    def run(self) -> None:
        while self.batcher.step():
            assert len(self.rows.batches) < 1000


async def ended(*jobs: Job[Any]) -> list[Any]:
    async with asyncio.timeout(60):
        return [await job.future for job in jobs]


@pytest.fixture
def world() -> World:
    return World()


async def test_who_waits_begins_when_the_last_that_ran_has_ended(world: World) -> None:
    first, second = world.submit(40, 40), world.submit(40, 40)
    assert (bool(first.started), bool(second.started)) == (True, False)
    world.run()
    assert await ended(first, second) == ["ended", "ended"]


async def test_the_newest_is_refused_and_who_leaves_the_queue_makes_room_at_once(world: World) -> None:
    running, waiting, refused = (world.submit(50, 40) for _ in range(3))
    with pytest.raises(QueueFullError, match="1 requests wait already"):
        await refused.future
    waiting.is_cancelled = True
    another = world.submit(50, 40)
    world.run()
    assert await ended(running, another) == ["ended", "ended"]
    with pytest.raises(asyncio.CancelledError):
        await waiting.future


async def test_who_leaves_while_it_runs_gives_its_room_to_the_next_before_the_next_batch(world: World) -> None:
    running, waiting = world.submit(60, 39), world.submit(60, 39)
    world.batcher.step()
    running.is_cancelled = True
    world.batcher.step()
    assert waiting.started
    assert world.rows.batches == [60, 60]


async def test_a_batch_goes_on_while_somebody_in_it_is_waited_for(world: World) -> None:
    one, other = world.submit(20, 5), world.submit(20, 5)
    world.rows.during = lambda: setattr(one, "is_cancelled", True)
    world.batcher.step()
    assert not world.rows.is_cancelled
    world.run()
    assert await ended(other) == ["ended"]


async def test_a_batch_is_stopped_when_its_only_caller_has_left(world: World) -> None:
    only = world.submit(20, 5)
    world.rows.during = lambda: setattr(only, "is_cancelled", True)
    world.batcher.step()
    assert world.rows.is_cancelled


async def test_what_is_done_aside_goes_on_between_batches(world: World) -> None:
    stream, aside = world.submit(10, 20), Job[Any]()

    def work() -> Any:
        yield
        yield
        return len(world.rows.batches)

    world.batcher.submit(Aside(aside, work()))
    world.run()
    assert await ended(stream, aside) == ["ended", 2]


async def test_what_fails_in_its_own_work_harms_no_other(world: World) -> None:
    failing: Job[Any] = Job()

    def fail(trunk: KvSequence) -> Steps:
        yield
        raise ValueError("broken")

    other = world.submit(10, 3)
    world.batcher.submit(Task(failing, [1, 2, 3], 5, fail))
    world.run()
    assert await ended(other) == ["ended"]
    with pytest.raises(ValueError, match="broken"):
        await failing.future
