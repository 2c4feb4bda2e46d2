"""The queue: what is added comes up once, failures wait longer and longer, the end is orderly."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from operator_clock import run_virtual

from milepost_operator.workqueue import BACKOFF_CAP_SECONDS, PATIENCE_SECONDS, Priority, WorkQueue

Story = Callable[[], Coroutine[Any, Any, None]]


def virtual(story: Story) -> Callable[[], None]:
    def run() -> None:
        run_virtual(story())

    run.__name__, run.__doc__ = story.__name__, story.__doc__
    return run


async def take(queue: WorkQueue[str]) -> str:
    key = await asyncio.wait_for(queue.get(), 1)
    assert key is not None
    return key


async def is_empty(queue: WorkQueue[str]) -> bool:
    try:
        await asyncio.wait_for(queue.get(), 0.001)
    except TimeoutError:
        return True
    return False


@virtual
async def test_a_key_that_waits_is_added_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert [await take(queue), await take(queue)] == ["a", "b"]
    assert await is_empty(queue)


@virtual
async def test_a_key_in_work_is_not_given_out_again_before_it_is_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await take(queue)
    queue.add("a")
    queue.add("a")
    assert await is_empty(queue)
    queue.done("a")
    assert await take(queue) == "a"
    queue.done("a")
    assert await is_empty(queue)


@virtual
async def test_changes_go_before_news_and_resyncs_and_lift_a_key_that_waits() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("old", Priority.RESYNC)
    queue.add("older", Priority.RESYNC)
    queue.add("news", Priority.NEWS)
    queue.add("change")
    queue.add("older")
    assert [await take(queue) for _ in range(4)] == ["change", "older", "news", "old"]


@virtual
async def test_what_is_less_urgent_does_not_wait_for_ever() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("news", Priority.NEWS)
    await asyncio.sleep(PATIENCE_SECONDS + 1)
    queue.add("change")
    assert [await take(queue), await take(queue)] == ["news", "change"]


@virtual
async def test_a_resync_does_not_lower_what_changed() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("other", Priority.NEWS)
    queue.add("change")
    queue.add("change", Priority.RESYNC)
    assert queue.depth(Priority.CHANGE) == 1
    assert await take(queue) == "change"


@pytest.mark.requirement("OPR-5")
@virtual
async def test_failures_wait_longer_each_time_up_to_a_cap() -> None:
    queue: WorkQueue[str] = WorkQueue()
    pauses = [queue.retry("a") for _ in range(20)]
    assert 0.1 <= pauses[0] <= 0.2
    assert all(later <= BACKOFF_CAP_SECONDS for later in pauses)
    assert pauses[-1] >= BACKOFF_CAP_SECONDS / 2
    assert all(later > earlier / 2 for earlier, later in itertools.pairwise(pauses))
    queue.forget("a")
    assert queue.retry("a") <= 0.2


@virtual
async def test_a_hot_loop_is_impossible_for_a_key_that_always_fails() -> None:
    queue: WorkQueue[str] = WorkQueue()
    tries, loop = 0, asyncio.get_running_loop()
    queue.add("a")
    end = loop.time() + 600
    while loop.time() < end:
        key = await queue.get()
        assert key is not None
        tries += 1
        queue.retry(key)
        queue.done(key)
    assert tries <= 16


@virtual
async def test_the_server_says_how_long_to_wait_at_least() -> None:
    queue: WorkQueue[str] = WorkQueue()
    began = asyncio.get_running_loop().time()
    assert queue.retry("a", at_least=30) == 30
    assert await queue.get() == "a"
    assert asyncio.get_running_loop().time() - began >= 30


@virtual
async def test_of_several_delays_the_earliest_counts_and_now_beats_them() -> None:
    queue: WorkQueue[str] = WorkQueue()
    loop = asyncio.get_running_loop()
    began = loop.time()
    queue.add_after("a", 60)
    queue.add_after("a", 5)
    queue.add_after("a", 90)
    assert await queue.get() == "a"
    assert loop.time() - began == pytest.approx(5)
    queue.done("a")
    queue.add_after("a", 60)
    queue.add("a")
    assert await take(queue) == "a"
    queue.done("a")
    assert queue.delayed == 0


@virtual
async def test_draining_finishes_what_is_there_and_takes_nothing_in() -> None:
    queue: WorkQueue[str] = WorkQueue()
    done: list[str] = []

    async def work() -> None:
        while (key := await queue.get()) is not None:
            await asyncio.sleep(1)
            done.append(key)
            queue.done(key)

    queue.add("a")
    queue.add("b")
    queue.add_after("later", 5)
    worker = asyncio.create_task(work())
    await asyncio.sleep(0.5)
    assert await queue.drain(20)
    queue.add("c")
    await worker
    assert done == ["a", "b"]


@virtual
async def test_draining_gives_up_in_time() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    began = asyncio.get_running_loop().time()
    assert not await queue.drain(20)
    assert asyncio.get_running_loop().time() - began == pytest.approx(20)
    assert queue.running_seconds() == [pytest.approx(20)]
