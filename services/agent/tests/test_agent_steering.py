"""What people and failures do to a run: approvals, questions, cancel, retries, failover, restarts."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from agent_harness import ScriptedService, agent, cyclic, workflow
from milepost_agent.conversion import run_message
from milepost_agent.errors import NotWaiting, StoreWriteError
from milepost_agent.store import LedgerEntry, NewMessage, NewRequest, StepTransaction

APPROVED = {"approved": True, "comment": ""}


def steps(**changes: object) -> list[dict[str, object]]:
    return [{"name": "code", "role": "coder", "capability": "coding", **changes}]


async def test_step_that_needs_approval_waits_over_a_restart_and_goes_on_when_approved(
    tmp_path: Path, worker: ScriptedService
) -> None:
    flow = workflow(steps=steps(requireApproval=True))
    async with agent(tmp_path, flow, worker) as harness:
        record, _ = await harness.runner.accept("go")
        waiting = await harness.reached(record.run_id, "waiting")
        assert waiting.pending and waiting.pending["kind"] == "approval"
        assert run_message(waiting).pending_input.approval.step == "code"
        assert not worker.requests
    async with agent(tmp_path, flow, worker, recovering=True) as harness:
        with pytest.raises(NotWaiting):
            await harness.steering.answer(record.run_id, "approval", "another", APPROVED)
        await harness.steering.answer(record.run_id, "approval", waiting.pending["approval_id"], APPROVED)
        ended = await harness.ended(record.run_id)
        again = await harness.steering.answer(record.run_id, "approval", waiting.pending["approval_id"], APPROVED)
        with pytest.raises(NotWaiting):
            refused = {"approved": False, "comment": ""}
            await harness.steering.answer(record.run_id, "approval", waiting.pending["approval_id"], refused)
        types = await harness.types(record.run_id)
    assert again == ended
    assert not run_message(ended).HasField("pending_input")
    assert (ended.outcome, len(worker.requests)) == ("Completed", 1)
    assert types.count("ApprovalRequested") == 1
    assert types.index("ApprovalDecided") > types.index("ApprovalRequested")


async def test_rejected_step_ends_the_run_and_calls_nobody(tmp_path: Path, worker: ScriptedService) -> None:
    async with agent(tmp_path, workflow(steps=steps(requireApproval=True)), worker) as harness:
        record, _ = await harness.runner.accept("go")
        waiting = await harness.reached(record.run_id, "waiting")
        answer = {"approved": False, "comment": "too risky"}
        await harness.steering.answer(record.run_id, "approval", (waiting.pending or {})["approval_id"], answer)
        ended = await harness.ended(record.run_id)
    assert ended.outcome == "Failed"
    assert ended.reason == "ApprovalRejected: step code: too risky"
    assert not worker.requests


async def test_low_confidence_asks_the_user_once_and_the_answer_reaches_the_service(
    tmp_path: Path, worker: ScriptedService
) -> None:
    flow = workflow(
        steps=steps(),
        router={"confidenceThreshold": 1.0},
        arbitrator={"modelRef": {"name": "brain"}, "onLowConfidence": "ask"},
    )
    async with agent(tmp_path, flow, worker) as harness:
        record, _ = await harness.runner.accept("hm")
        waiting = await harness.reached(record.run_id, "waiting")
        question = waiting.pending or {}
        assert question["kind"] == "question" and question["options"] == ["worker"]
    async with agent(tmp_path, flow, worker, recovering=True) as harness:
        await harness.steering.answer(record.run_id, "question", question["question_id"], "a sorting function")
        ended = await harness.ended(record.run_id)
        types = await harness.types(record.run_id)
    assert ended.outcome == "Completed"
    assert "a sorting function" in worker.requests[0].instructions
    assert (types.count("QuestionAsked"), types.count("QuestionAnswered")) == (1, 1)


async def test_answer_that_is_given_again_while_recovery_goes_on_with_it_is_not_taken_for_the_next_wait(
    tmp_path: Path, worker: ScriptedService
) -> None:
    flow = workflow(
        steps=steps(requireApproval=True),
        router={"confidenceThreshold": 1.0},
        arbitrator={"modelRef": {"name": "brain"}, "onLowConfidence": "ask"},
    )
    async with agent(tmp_path, flow, worker) as harness:
        record, _ = await harness.runner.accept("hm")
        question = (await harness.reached(record.run_id, "waiting")).pending or {}
        # The process died after the answer was stored and before anybody heard of it.
        await harness.store.commit(record.run_id, update={"pending": {**question, "answer": "in Python"}})
    async with agent(tmp_path, flow, worker, recovering=True) as harness:
        await harness.steering.answer(record.run_id, "question", question["question_id"], "in Python")
        async for event in harness.store.watch(record.run_id):
            if event.type == "ApprovalRequested":
                break
        await harness.steering.answer(record.run_id, "approval", event.data["approval_id"], APPROVED)
        ended = await harness.ended(record.run_id)
    assert (ended.outcome, ended.reason) == ("Completed", "")


async def test_pause_that_is_asked_for_again_after_the_run_went_on_does_not_stop_it(
    tmp_path: Path, worker: ScriptedService
) -> None:
    async with agent(tmp_path, workflow(steps=steps(requireApproval=True)), worker) as harness:
        record, _ = await harness.runner.accept("go")
        approval = (await harness.reached(record.run_id, "waiting")).pending or {}
        request = NewRequest("pause", "PauseRun", "hash")
        assert (await harness.steering.pause(record.run_id, "", request)).paused is not None
        await harness.steering.resume(record.run_id)
        worker.hang = True
        await harness.steering.answer(record.run_id, "approval", approval["approval_id"], APPROVED)
        await asyncio.wait_for(worker.entered.wait(), 10)
        assert (await harness.steering.pause(record.run_id, "", request)).paused is None
        worker.hang = False
        ended = await harness.ended(record.run_id)
    assert ended.outcome == "Completed"


async def test_named_service_needs_no_confidence(tmp_path: Path, worker: ScriptedService) -> None:
    flow = workflow(
        steps=[{"name": "code", "role": "coder", "serviceRef": {"name": "worker"}}],
        router={"confidenceThreshold": 1.0},
        arbitrator={"modelRef": {"name": "brain"}, "onLowConfidence": "ask"},
    )
    async with agent(tmp_path, flow, worker) as harness:
        record = await harness.run()
    assert (record.outcome, len(worker.requests)) == ("Completed", 1)


@pytest.mark.requirement("RTR-3")
async def test_low_confidence_takes_the_default_service(tmp_path: Path, worker: ScriptedService) -> None:
    fallback = ScriptedService("fallback", ("coding",))
    await fallback.start()
    flow = workflow(steps=steps(), router={"confidenceThreshold": 1.0, "defaultService": {"name": "fallback"}})
    async with agent(tmp_path, flow, worker, fallback) as harness:
        record = await harness.run()
        decided = next(event.data for event in await harness.events(record.run_id) if event.type == "Decided")
    await fallback.stop()
    assert (decided["service"], len(fallback.requests), len(worker.requests)) == ("fallback", 1, 0)
    assert decided["reason"].startswith("default service fallback: the router gave ")
    assert decided["reason"].endswith(", below the threshold of 1.00; 3 of 3 hops left")


@pytest.mark.requirement("AGT-3")
async def test_cancel_ends_the_run_and_stops_the_call_in_the_service(tmp_path: Path, worker: ScriptedService) -> None:
    worker.hang = True
    async with agent(tmp_path, workflow(), worker) as harness:
        record, _ = await harness.runner.accept("go")
        await asyncio.wait_for(worker.entered.wait(), 10)
        cancelled = await harness.steering.cancel(record.run_id, "no longer needed")
        await asyncio.wait_for(worker.cancelled.wait(), 10)
        again = await harness.steering.cancel(record.run_id, "other words")
        types = await harness.types(record.run_id)
    assert (cancelled.state, cancelled.outcome, cancelled.reason) == ("ended", "Cancelled", "no longer needed")
    assert again.reason == "no longer needed"
    assert types.count("RunCompleted") == 1


async def test_service_that_is_gone_for_a_moment_is_called_again_with_a_new_call(
    tmp_path: Path, worker: ScriptedService
) -> None:
    worker.failures = [grpc.StatusCode.UNAVAILABLE]
    async with agent(tmp_path, workflow(steps=steps()), worker) as harness:
        record = await harness.run()
        types = await harness.types(record.run_id)
    assert (record.outcome, len(worker.requests)) == ("Completed", 2)
    assert types.count("StepRetried") == 1


async def test_step_fails_over_to_the_next_ready_service_of_the_capability(
    tmp_path: Path, worker: ScriptedService
) -> None:
    second = ScriptedService("zz-second", ("coding",))
    await second.start()
    worker.failures = [grpc.StatusCode.UNAVAILABLE] * 9
    second.failures = []
    async with agent(tmp_path, workflow(steps=steps()), worker, second) as harness:
        record = await harness.run()
    await second.stop()
    assert record.outcome == "Completed"
    assert len(second.requests) == 1


async def test_refused_request_fails_the_run_with_the_reason_of_the_service(
    tmp_path: Path, worker: ScriptedService
) -> None:
    worker.failures = [grpc.StatusCode.INVALID_ARGUMENT]
    async with agent(tmp_path, workflow(steps=steps()), worker) as harness:
        record = await harness.run()
    assert record.outcome == "Failed"
    assert record.reason == "InvalidArgument: step code: worker: InvalidArgument: scripted failure"
    assert len(worker.requests) == 1


@pytest.mark.requirement("DUR-7")
async def test_a_call_that_was_made_with_another_request_ends_the_run_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, worker: ScriptedService
) -> None:
    async with agent(tmp_path, workflow(steps=steps()), worker) as harness:
        await harness.store.ledger_put(LedgerEntry("known/0", "", 0, "m", "other", b""))
        monkeypatch.setattr("milepost_agent.nodes.dependencies.call_id", lambda task_id, ordinal: "known/0")
        record = await harness.run()
        assert harness.store.failure is None
    assert record.outcome == "Failed"
    assert record.reason == "StoreRefused: call known/0 was completed before with another request"
    assert not worker.requests


async def test_no_ready_service_is_waited_for_and_then_named(tmp_path: Path) -> None:
    flow = workflow(steps=steps(timeout="1s"))
    async with agent(tmp_path, flow) as harness:
        record = await harness.run()
    assert record.outcome == "Failed"
    assert record.reason == "NoServiceReady: step code: no service with capability coding became ready within 1s"


@pytest.mark.requirement("DUR-3", "HOP-1")
async def test_restart_goes_on_from_the_last_completed_step_with_the_budgets_as_they_were(
    tmp_path: Path, worker: ScriptedService
) -> None:
    slow = ScriptedService("slow", ("review",), hang=True)
    await slow.start()
    worker.capabilities = ("rag", "coding")
    async with agent(tmp_path, cyclic(), worker, slow) as harness:
        record, _ = await harness.runner.accept("go")
        await asyncio.wait_for(slow.entered.wait(), 10)
    slow.hang = False
    async with agent(tmp_path, cyclic(), worker, slow, recovering=True) as harness:
        ended = await harness.ended(record.run_id)
        resumed = [event for event in await harness.events(record.run_id) if event.type == "RunResumed"]
    await slow.stop()
    assert (ended.outcome, ended.recoveries, ended.remaining_hops) == ("Completed", 1, 2)
    assert [(event.step, event.data["remaining_hops"]) for event in resumed] == [("review", 3)]
    assert len(worker.requests) == 2
    assert len(set(slow.call_ids)) == 1 and len(slow.call_ids) == 2


@pytest.mark.requirement("A2A-1")
async def test_message_from_outside_reaches_the_next_step_of_its_role_once(
    tmp_path: Path, worker: ScriptedService
) -> None:
    further = [{"name": name, "role": "coder", "capability": "coding"} for name in ("more", "most")]
    flow = workflow(steps=[*steps(requireApproval=True), *further])
    message = NewMessage("b9d63c35-7e0c-4dc1-8f30-1d7a2f4c1111", "user", "coder", "use type hints")
    async with agent(tmp_path, flow, worker) as harness:
        record, _ = await harness.runner.accept("go")
        waiting = await harness.reached(record.run_id, "waiting")
        _, duplicate = await harness.steering.send(record.run_id, message)
        _, again = await harness.steering.send(record.run_id, message)
        await harness.steering.answer(record.run_id, "approval", (waiting.pending or {})["approval_id"], APPROVED)
        await harness.ended(record.run_id)
        types = await harness.types(record.run_id)
    assert (duplicate, again) == (False, True)
    assert [[each.payload for each in request.messages] for request in worker.requests] == [[], ["use type hints"], []]
    assert (types.count("MessageSent"), types.count("MessageDelivered")) == (1, 1)


@pytest.mark.requirement("DUR-3")
async def test_answer_of_a_second_service_is_kept_when_the_step_was_not_committed(
    tmp_path: Path, worker: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = ScriptedService("zz-second", ("coding",))
    await second.start()
    worker.failures = [grpc.StatusCode.UNAVAILABLE] * 9
    refused = asyncio.Event()
    loop = asyncio.get_running_loop()
    stored = StepTransaction.apply

    def refuse_the_answer(self: StepTransaction, transaction: Any) -> None:
        stored(self, transaction)
        if len(second.requests) == 1:
            loop.call_soon_threadsafe(refused.set)
            raise StoreWriteError("the disk is gone")

    monkeypatch.setattr(StepTransaction, "apply", refuse_the_answer)
    flow = workflow(steps=steps())
    async with agent(tmp_path, flow, worker, second) as harness:
        record, _ = await harness.runner.accept("go")
        await asyncio.wait_for(refused.wait(), 20)
    monkeypatch.undo()
    calls = (len(worker.requests), len(second.requests))
    assert calls[1] == 1
    async with agent(tmp_path, flow, worker, second, recovering=True) as harness:
        ended = await harness.ended(record.run_id)
        completed = next(event.data for event in await harness.events(record.run_id) if event.type == "StepCompleted")
    await second.stop()
    assert (ended.outcome, completed["replayed"]) == ("Completed", True)
    assert (len(worker.requests), len(second.requests)) == calls


@pytest.mark.requirement("AGT-3")
async def test_run_ends_by_name_when_its_time_is_over(tmp_path: Path, worker: ScriptedService) -> None:
    worker.hang = True
    async with agent(tmp_path, workflow(steps=steps(), runTimeout="1s"), worker) as harness:
        record = await harness.run()
    assert (record.outcome, record.reason) == (
        "TimeLimitReached",
        "RunTimeout: step code: the run has used up its time (1s)",
    )
