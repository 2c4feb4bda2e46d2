"""The owner's thread, and what it and a caller in an event loop share of a request."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from milepost_model.job import Job
from milepost_model.worker import Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("test")
    yield worker
    worker.close()


async def test_all_work_runs_in_one_thread_that_is_not_the_callers(worker: Worker) -> None:
    first, second = [await worker.call(threading.get_ident) for _ in range(2)]
    assert first == second != threading.get_ident()


async def test_what_work_raises_is_the_callers_and_the_thread_goes_on(worker: Worker) -> None:
    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await worker.call(fail)
    assert await worker.call(lambda: "alive") == "alive"


async def test_steps_go_on_while_there_is_something_to_do_and_commands_come_between_them(worker: Worker) -> None:
    done: list[str] = []

    def step() -> bool:
        done.append("step")
        return len(done) < 5

    def begin() -> None:
        worker.step = step
        done.append("command")

    await worker.call(begin)
    async with asyncio.timeout(60):
        while len(done) < 5:
            await asyncio.sleep(0.001)
    await worker.call(lambda: done.append("command"))
    assert done[:6] == ["command", *["step"] * 4, "command"]


async def test_text_comes_as_it_is_made_and_then_the_result() -> None:
    job: Job[int] = Job()
    texts = job.texts()
    job.emit("a")
    assert await anext(texts) == "a"
    job.emit("b")
    job.emit("c")
    job.end(3)
    assert "".join([text async for text in texts]) == "bc"
    assert await job.future == 3


async def test_a_slow_reader_finds_one_joined_text() -> None:
    job: Job[int] = Job()
    for _ in range(1000):
        job.emit("x")
    job.end(0)
    await job.future
    assert [text async for text in job.texts()] == ["x" * 1000]


async def test_an_error_comes_after_the_text_that_was_made() -> None:
    job: Job[int] = Job()
    job.emit("a")
    job.end(ValueError("broken"))
    assert [text async for text in job.texts()] == ["a"]
    with pytest.raises(ValueError, match="broken"):
        await job.future


def test_a_caller_whose_loop_has_ended_does_not_harm_the_thread() -> None:
    async def left() -> Job[int]:
        return Job()

    job = asyncio.run(left())
    job.emit("a")
    job.end(1)
    assert not job.future.done()
