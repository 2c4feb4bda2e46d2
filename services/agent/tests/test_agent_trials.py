"""A run that kills the process again and again is found, and no other is blamed for it.

A death is a copy of the files: what a process that is killed at that moment leaves behind.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_harness import Harness, ScriptedService, agent, workflow

STEPS = [{"name": "code", "role": "coder", "capability": "coding"}]


@pytest.fixture
async def worker() -> AsyncIterator[ScriptedService]:
    service = ScriptedService("worker", ("coding",), hang=True)
    await service.start()
    yield service
    await service.stop()


def die(alive: Path, after: Path) -> Path:
    after.mkdir()
    for file in alive.glob("milepost.db*"):
        shutil.copy(file, after)
    return after


async def called(worker: ScriptedService, prompts: set[str]) -> None:
    async with asyncio.timeout(60):
        while {request.prompt for request in worker.requests} != prompts:
            await asyncio.sleep(0.01)


async def crashes(harness: Harness) -> dict[str, int]:
    return {record.prompt: record.crashes for record in await harness.store.unfinished_runs()}


@pytest.mark.requirement("HOP-1", "DUR-3")
async def test_suspects_go_on_alone_one_after_the_other_and_only_the_one_on_trial_is_convicted(
    tmp_path: Path, worker: ScriptedService
) -> None:
    flow = workflow(steps=STEPS)
    alive = tmp_path / "0"
    alive.mkdir()
    async with agent(alive, flow, worker) as harness:
        for prompt in ("first", "second"):
            await harness.runner.accept(prompt)
        await called(worker, {"first", "second"})
        alive = die(alive, tmp_path / "1")
    worker.requests.clear()
    async with agent(alive, flow, worker, recovering=True) as harness:
        assert await crashes(harness) == {"first": 1, "second": 1}
        await called(worker, {"first", "second"})
        alive = die(alive, tmp_path / "2")
    worker.requests.clear()
    async with agent(alive, flow, worker, recovering=True) as harness:
        assert await crashes(harness) == {"first": 2, "second": 2}
        await called(worker, {"first"})
        await harness.runner.accept("third")
        alive = die(alive, tmp_path / "3")
        assert {request.prompt for request in worker.requests} == {"first"}
    worker.requests.clear()
    async with agent(alive, flow, worker, recovering=True) as harness:
        convicted = next(each for each in await harness.store.list_runs() if each.prompt == "first")
        assert (convicted.outcome, convicted.crashes) == ("NeedsAttention", 3)
        assert "the process died 3 times in step code" in convicted.reason
        assert await crashes(harness) == {"second": 2, "third": 0}
        await called(worker, {"second"})
        worker.hang = False
        for record in await harness.store.unfinished_runs():
            assert (await harness.ended(record.run_id)).outcome == "Completed"


@pytest.mark.requirement("AGT-4")
async def test_a_process_that_ends_in_order_while_a_run_is_on_trial_convicts_nobody(
    tmp_path: Path, worker: ScriptedService
) -> None:
    flow = workflow(steps=STEPS)
    async with agent(tmp_path, flow, worker) as harness:
        record, _ = await harness.runner.accept("first")
        await called(worker, {"first"})
        await harness.store.commit(record.run_id, update={"crashes": 2})
    async with agent(tmp_path, flow, worker, recovering=True) as harness:
        async with asyncio.timeout(60):
            while await harness.store.get_meta("on_trial") != record.run_id:
                await asyncio.sleep(0.01)
        await harness.runner.drain(0)
        await harness.recovery.stop()
    worker.hang = False
    async with agent(tmp_path, flow, worker, recovering=True) as harness:
        assert (await harness.ended(record.run_id)).outcome == "Completed"


async def test_a_suspect_that_takes_long_does_not_hold_the_others_for_ever(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, worker: ScriptedService
) -> None:
    monkeypatch.setattr("milepost_agent.trials.TRIAL_SECONDS", 0.2)
    async with agent(tmp_path, workflow(steps=STEPS), worker) as harness:
        record, _ = await harness.runner.accept("slow")
        await called(worker, {"slow"})
        await harness.store.commit(record.run_id, update={"crashes": 2})
    async with agent(tmp_path, workflow(steps=STEPS), worker, recovering=True) as harness:
        await harness.runner.accept("other")
        await called(worker, {"slow", "other"})
        assert await harness.store.get_meta("on_trial") == ""
