"""Runs from acceptance to outcome: order, budgets, messages, verdicts."""

from pathlib import Path

import pytest

from agent_harness import ScriptedService, agent, always_revise, cyclic, workflow
from milepost.capability.v1 import capability_pb2
from milepost_agent.conversion import run_message
from milepost_agent.errors import InvalidRequest, RunConflict


@pytest.mark.requirement("AGT-1", "AGT-2")
async def test_linear_run_goes_through_every_step_in_order(tmp_path: Path, worker: ScriptedService) -> None:
    async with agent(tmp_path, workflow(), worker) as harness:
        record = await harness.run()
        hops = run_message(record, await harness.events(record.run_id)).hops
    assert (record.outcome, record.remaining_hops, record.current_step) == ("Completed", 0, "review")
    assert [hop.step for hop in hops] == ["research", "code", "review"]
    assert [request.role for request in worker.requests] == ["researcher", "coder", "reviewer"]
    assert [hop.recommendation.services[0].service for hop in hops] == ["worker"] * 3
    assert all(hop.decision.agreed and hop.decision.reason for hop in hops)
    assert [context.text for context in worker.requests[2].context] == ["researcher 1", "coder 2"]
    assert worker.completed == 3, "a call is read to its end, so that the service counts it too"


@pytest.mark.requirement("AGT-2")
async def test_events_of_a_hop_come_in_the_order_recommend_arbitrate_step(
    tmp_path: Path, worker: ScriptedService
) -> None:
    async with agent(tmp_path, workflow(), worker) as harness:
        record = await harness.run()
        types = await harness.types(record.run_id)
    hop = ["Recommended", "Decided", "StepStarted", "StepCompleted"]
    assert types == ["RunAccepted", *hop * 3, "RunCompleted"]


async def test_what_a_step_took_at_its_service_is_in_the_journal_as_far_as_it_can_be_true(
    tmp_path: Path, worker: ScriptedService
) -> None:
    said = [
        capability_pb2.Usage(prompt_tokens=120, completion_tokens=34, duration_ms=812.5, queue_ms=3.25),
        capability_pb2.Usage(prompt_tokens=-1, duration_ms=float("nan"), queue_ms=float("inf")),
        None,
    ]
    worker.answer = lambda request, call: capability_pb2.InvokeResult(text="done", usage=said[call - 1])
    async with agent(tmp_path, workflow(), worker) as harness:
        record = await harness.run()
        events = await harness.events(record.run_id)
    names = ("prompt_tokens", "completion_tokens", "duration_ms", "queue_ms")
    told = [event.data["usage"] for event in events if event.type == "StepCompleted"]
    assert [tuple(usage[name] for name in names) for usage in told] == [(120, 34, 812.5, 3.25), (0,) * 4, (0,) * 4]


@pytest.mark.requirement("HOP-2", "A2A-1")
async def test_reviewer_who_always_rejects_is_stopped_after_the_second_review(
    tmp_path: Path, worker: ScriptedService
) -> None:
    worker.answer = always_revise
    async with agent(tmp_path, cyclic(), worker) as harness:
        record = await harness.run()
        messages = await harness.store.messages(record.run_id)
        hops = run_message(record, await harness.events(record.run_id)).hops
    assert record.outcome == "ReviewLimitReached"
    assert [hop.cycle for hop in hops] == [0, 1, 1, 2, 2]
    assert "review cycle 2 of 2" in record.reason
    assert [request.role for request in worker.requests] == ["researcher", "coder", "reviewer", "coder", "reviewer"]
    assert record.result == "coder 4"
    assert [(each.sender_role, each.recipient_role, each.payload) for each in messages] == [
        ("reviewer", "coder", "reviewer 3")
    ]
    assert [message.payload for message in worker.requests[3].messages] == ["reviewer 3"]
    assert not worker.requests[4].messages
    assert [each.text for each in worker.requests[3].context] == ["researcher 1", "coder 2"], "reviews are messages"


@pytest.mark.requirement("HOP-2")
async def test_approval_in_the_second_review_completes_the_run(tmp_path: Path, worker: ScriptedService) -> None:
    def approve_later(request: capability_pb2.InvokeRequest, call: int) -> capability_pb2.InvokeResult:
        verdict = ("approve" if call == 5 else "revise") if request.verdicts else ""
        return capability_pb2.InvokeResult(text=f"{request.role} {call}", verdict=verdict)

    worker.answer = approve_later
    async with agent(tmp_path, cyclic(), worker) as harness:
        record = await harness.run()
        cycles = [event.data for event in await harness.events(record.run_id) if event.type == "ReviewCycle"]
    assert (record.outcome, record.result) == ("Completed", "coder 4")
    assert [(each["cycle"], each["max_cycles"], each["verdict"]) for each in cycles] == [
        (1, 2, "revise"),
        (2, 2, "approve"),
    ]


@pytest.mark.requirement("HOP-1")
@pytest.mark.parametrize(("flow", "hops"), [(workflow(maxHops=2), 2), (cyclic(maxHops=3), 3)], ids=["linear", "cyclic"])
async def test_hop_beyond_the_limit_is_refused_and_recorded(
    tmp_path: Path, worker: ScriptedService, flow: object, hops: int
) -> None:
    worker.answer = always_revise
    async with agent(tmp_path, flow, worker) as harness:  # type: ignore[arg-type]
        record = await harness.run()
        refused = [event for event in await harness.events(record.run_id) if event.type == "HopRefused"]
    assert (record.outcome, record.remaining_hops) == ("HopLimitReached", 0)
    assert len(worker.requests) == hops
    assert f"hop {hops + 1}" in refused[0].data["reason"]
    assert record.result == "coder 2"


@pytest.mark.requirement("DUR-7", "DUR-2")
async def test_same_request_twice_is_one_run_and_another_body_is_refused(
    tmp_path: Path, worker: ScriptedService
) -> None:
    key = "3f1c0e0a-1111-4222-8333-444455556666"
    async with agent(tmp_path, workflow(), worker) as harness:
        first = await harness.run("one", key)
        again, existing = await harness.runner.accept("one", key)
        assert existing and again.run_id == first.run_id
        with pytest.raises(RunConflict):
            await harness.runner.accept("two", key)
    assert len(worker.requests) == 3


@pytest.mark.parametrize(
    ("prompt", "words"), [("", "is empty"), ("  \n", "is empty"), ("x" * 1_000_000, "1000000 bytes")]
)
async def test_prompt_that_is_empty_or_too_long_is_refused_with_the_limit(
    tmp_path: Path, prompt: str, words: str
) -> None:
    async with agent(tmp_path, workflow()) as harness:
        with pytest.raises(InvalidRequest, match=words) as caught:
            await harness.runner.accept(prompt)
        assert "1 to 65536 bytes" in str(caught.value)
        assert await harness.store.list_runs() == []
