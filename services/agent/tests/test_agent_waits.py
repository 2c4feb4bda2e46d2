"""Waiting for people: paused runs, waits that end, answers that come twice, and a clock that stands still meanwhile."""

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from agent_harness import Harness, ScriptedService, agent, workflow
from milepost.agent.v1 import agent_pb2
from milepost_agent.conversion import run_message
from milepost_agent.errors import AnsweredDifferently, RequestConflict
from milepost_agent.requests import once

APPROVED = {"approved": True, "comment": ""}


class Clock:
    """The real clock, which a test sets forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def approved_step(**spec: Any) -> Any:
    step = {"name": "code", "role": "coder", "capability": "coding", "requireApproval": True}
    return workflow(steps=[step], **spec)


async def waiting(harness: Harness) -> tuple[str, str]:
    record, _ = await harness.runner.accept("go")
    return record.run_id, (await harness.reached(record.run_id, "waiting")).input_id


@pytest.mark.requirement("AGT-3", "HOP-1")
async def test_a_wait_that_nobody_ends_has_an_outcome_of_its_own(tmp_path: Path, worker: ScriptedService) -> None:
    async with agent(tmp_path, approved_step(waitTimeout="1s"), worker) as harness:
        record = await harness.run()
    assert record.outcome == "WaitTimedOut"
    assert record.reason == ("WaitTimeout: step code: nobody gave the approval within the workflow's waitTimeout")
    assert run_message(record).outcome == agent_pb2.RUN_OUTCOME_WAIT_TIMED_OUT
    assert not worker.requests


@pytest.mark.requirement("AGT-3", "DUR-3")
async def test_the_end_of_a_wait_holds_over_restarts(tmp_path: Path, worker: ScriptedService) -> None:
    clock = Clock()
    flow = approved_step(waitTimeout="1h")
    async with agent(tmp_path, flow, worker, now=clock) as harness:
        run_id, _ = await waiting(harness)
        shown = run_message(await harness.runner.get(run_id)).pending_input
    assert abs(shown.expire_time.seconds - clock() - 3_600) < 60
    clock.ahead += 3_500
    async with agent(tmp_path, flow, worker, recovering=True, now=clock) as harness:
        assert (await harness.runner.get(run_id)).state == "waiting"
    clock.ahead += 200
    async with agent(tmp_path, flow, worker, recovering=True, now=clock) as harness:
        assert (await harness.ended(run_id)).outcome == "WaitTimedOut"


@pytest.mark.requirement("AGT-3", "HOP-1")
async def test_time_that_a_run_waits_or_nobody_drives_it_does_not_count(
    tmp_path: Path, worker: ScriptedService
) -> None:
    clock = Clock()
    flow = approved_step(runTimeout="60s")
    async with agent(tmp_path, flow, worker, now=clock) as harness:
        run_id, approval = await waiting(harness)
    clock.ahead += 86_400
    async with agent(tmp_path, flow, worker, recovering=True, now=clock) as harness:
        clock.ahead += 86_400
        await harness.steering.answer(run_id, "approval", approval, APPROVED)
        record = await harness.ended(run_id)
    assert record.outcome == "Completed"
    assert record.elapsed(clock()) < 60


@pytest.mark.requirement("AGT-3", "HOP-1", "DUR-3")
async def test_time_that_is_used_up_stays_used_up_over_restarts(tmp_path: Path, worker: ScriptedService) -> None:
    clock = Clock()
    step = {"name": "code", "role": "coder", "capability": "coding", "timeout": "1h"}
    flow = workflow(steps=[step], runTimeout="600s")
    worker.hang = True
    async with agent(tmp_path, flow, worker, now=clock) as harness:
        record, _ = await harness.runner.accept("go")
        await asyncio.wait_for(worker.entered.wait(), 20)
        clock.ahead += 598
        await harness.store.commit(record.run_id, update={"crashes": 0})  # a sign of life at that time
    clock.ahead += 1_000  # nobody drives it
    async with agent(tmp_path, flow, worker, recovering=True, now=clock) as harness:
        assert (await harness.runner.get(record.run_id)).elapsed(clock()) >= 598
        record = await harness.ended(record.run_id)
    assert (record.outcome, record.reason.split(":")[0]) == ("TimeLimitReached", "RunTimeout")


@pytest.mark.requirement("AGT-3")
async def test_a_hop_that_has_used_up_its_time_ends_the_run_by_name(tmp_path: Path, worker: ScriptedService) -> None:
    worker.hang = True
    steps = [{"name": "code", "role": "coder", "capability": "coding", "timeout": "1s"}]
    async with agent(tmp_path, workflow(steps=steps), worker) as harness:
        record = await harness.run()
    assert (record.outcome, record.reason) == (
        "TimeLimitReached",
        "HopTimeout: step code: the hop has used up its time (1s)",
    )


@pytest.mark.requirement("AGT-1", "DUR-3")
async def test_a_paused_run_finishes_its_step_and_stands_over_restarts_until_it_is_resumed(
    tmp_path: Path, worker: ScriptedService
) -> None:
    worker.hang = True
    async with agent(tmp_path, workflow(), worker) as harness:
        record, _ = await harness.runner.accept("go")
        await asyncio.wait_for(worker.entered.wait(), 20)
        paused = await harness.steering.pause(record.run_id, "lunch")
        assert run_message(paused).state == agent_pb2.RUN_STATE_PAUSED
        worker.hang = False
        async with asyncio.timeout(60):
            while (await harness.runner.get(record.run_id)).idle_since is None:
                await asyncio.sleep(0.01)
        assert "StepCompleted" in await harness.types(record.run_id)
    async with agent(tmp_path, workflow(), worker, recovering=True) as harness:
        assert len(worker.requests) == 1
        assert [each.run_id for each in await harness.store.list_runs(states=["paused"])] == [record.run_id]
        assert await harness.store.list_runs(states=["running"]) == []
        assert await harness.store.count_runs() == {"paused": 1}
        await harness.steering.resume(record.run_id)
        ended = await harness.ended(record.run_id)
        types = await harness.types(record.run_id)
    assert ended.outcome == "Completed"
    assert (types.count("RunPaused"), types.count("RunContinued"), types.count("StepCompleted")) == (1, 1, 3)
    assert len(worker.requests) == 3


async def test_a_run_that_is_resumed_before_its_step_is_done_just_goes_on(
    tmp_path: Path, worker: ScriptedService
) -> None:
    worker.hang = True
    async with agent(tmp_path, workflow(), worker) as harness:
        record, _ = await harness.runner.accept("go")
        await asyncio.wait_for(worker.entered.wait(), 20)
        await harness.steering.pause(record.run_id, "")
        await harness.steering.resume(record.run_id)
        worker.hang = False
        ended = await harness.ended(record.run_id)
    assert (ended.outcome, len(worker.requests)) == ("Completed", 3)


async def test_a_wait_does_not_end_while_the_run_is_paused(tmp_path: Path, worker: ScriptedService) -> None:
    clock = Clock()
    flow = approved_step(waitTimeout="1h")
    async with agent(tmp_path, flow, worker, now=clock) as harness:
        run_id, approval = await waiting(harness)
        expires = ((await harness.runner.get(run_id)).pending or {})["expires"]
        await harness.steering.pause(run_id, "")
        clock.ahead += 7_200
    async with agent(tmp_path, flow, worker, recovering=True, now=clock) as harness:
        answered = await harness.steering.answer(run_id, "approval", approval, APPROVED)
        assert (answered.state, len(worker.requests)) == ("waiting", 0), "an answer is kept, the run stays paused"
        resumed = await harness.steering.resume(run_id)
        assert 7_200 <= (resumed.pending or {})["expires"] - expires < 7_300
        ended = await harness.ended(run_id)
    assert (ended.outcome, len(worker.requests)) == ("Completed", 1)


@pytest.mark.requirement("DUR-7")
async def test_a_request_with_an_id_is_done_once_and_another_body_is_refused(
    tmp_path: Path, worker: ScriptedService
) -> None:
    worker.hang = True
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    async with agent(tmp_path, workflow(), worker) as harness:
        record, _ = await harness.runner.accept("go")
        run_id = record.run_id
        await harness.steering.pause(run_id, "a", once(first, "PauseRun", run_id, "a"))
        await harness.steering.resume(run_id, once(second, "ResumeRun", run_id))
        late = await harness.steering.pause(run_id, "a", once(first, "PauseRun", run_id, "a"))
        assert late.paused is None, "a request that comes late a second time pauses nothing"
        with pytest.raises(RequestConflict, match=f"request id {first} belongs to another request"):
            await harness.steering.cancel(run_id, "b", once(first, "CancelRun", run_id, "b"))
        assert (await harness.runner.get(run_id)).state == "running"


@pytest.mark.requirement("DUR-7")
async def test_another_answer_to_the_same_question_is_refused(tmp_path: Path, worker: ScriptedService) -> None:
    async with agent(tmp_path, approved_step(), worker) as harness:
        run_id, approval = await waiting(harness)
        await harness.steering.answer(run_id, "approval", approval, APPROVED)
        await harness.steering.answer(run_id, "approval", approval, APPROVED)
        with pytest.raises(AnsweredDifferently):
            await harness.steering.answer(run_id, "approval", approval, {"approved": False, "comment": ""})
        ended = await harness.ended(run_id)
    assert (ended.outcome, len(worker.requests)) == ("Completed", 1)
