"""One owner thread, a bounded queue, and work that ends when nobody waits for it."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from milepost_model.errors import QueueFullError, WorkCancelledError
from milepost_model.worker import Job, Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("test", queue_size=1)
    yield worker
    worker.close()


async def test_all_work_runs_in_one_thread_that_is_not_the_callers(worker: Worker) -> None:
    first, second = [await worker.run(lambda job: threading.get_ident()) for _ in range(2)]
    assert first == second != threading.get_ident()


async def test_a_full_queue_says_when_to_come_again_and_opens_up_later(worker: Worker) -> None:
    release = threading.Event()
    running = asyncio.create_task(worker.run(lambda job: release.wait(10)))
    waiting = asyncio.create_task(worker.run(lambda job: True))
    await asyncio.sleep(0)
    with pytest.raises(QueueFullError, match="1 requests wait already") as refused:
        await worker.run(lambda job: True)
    assert refused.value.retry_after is not None
    assert 0 < refused.value.retry_after <= 60
    release.set()
    assert [await running, await waiting, await worker.run(lambda job: True)] == [True, True, True]


async def test_work_sees_that_its_caller_has_gone_and_the_next_one_gets_the_thread(worker: Worker) -> None:
    began, noticed = threading.Event(), threading.Event()

    def work(job: Job[None]) -> None:
        began.set()
        while not job.cancelled():
            threading.Event().wait(0.001)
        noticed.set()
        raise WorkCancelledError

    task = asyncio.create_task(worker.run(work))
    await asyncio.to_thread(began.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await worker.run(lambda job: noticed.is_set())


async def test_work_whose_caller_left_the_queue_never_begins(worker: Worker) -> None:
    release, begun = threading.Event(), []
    running = asyncio.create_task(worker.run(lambda job: release.wait(10)))
    waiting = asyncio.create_task(worker.run(lambda job: begun.append(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    release.set()
    await running
    await worker.run(lambda job: None)
    assert begun == []


async def test_work_whose_caller_left_the_queue_gives_up_its_place_at_once(worker: Worker) -> None:
    release = threading.Event()
    running = asyncio.create_task(worker.run(lambda job: release.wait(10)))
    await asyncio.to_thread(_until, lambda: worker._running is not None)
    waiting = asyncio.create_task(worker.run(lambda job: "left"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    following = asyncio.create_task(worker.run(lambda job: "came"))
    await asyncio.sleep(0)
    assert worker.waiting == 1
    release.set()
    assert [await running, await following] == [True, "came"]
    assert worker.waiting == 0


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        threading.Event().wait(0.001)


async def test_a_stream_gives_texts_in_order_then_the_result_or_the_error(worker: Worker) -> None:
    def work(job: Job[int], emit: Callable[[str], None]) -> int:
        emit("a")
        emit("b")
        return 2

    assert [item async for item in worker.stream(work)] == ["a", "b", 2]

    def fail(job: Job[int], emit: Callable[[str], None]) -> int:
        emit("a")
        raise ValueError("broken")

    items = worker.stream(fail)
    assert await anext(items) == "a"
    with pytest.raises(ValueError, match="broken"):
        await anext(items)
