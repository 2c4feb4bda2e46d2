"""Runs, messages and the ledger: accepted once, answered once, closed for good."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from milepost_agent.store import (
    ENDED,
    RUNNING,
    WAITING,
    LedgerConflict,
    LedgerEntry,
    MessageConflict,
    NewEvent,
    NewMessage,
    RunConflict,
    RunNotFound,
    Store,
)
from store_zygote import new_run

ENTRY = LedgerEntry("task/0", "run", 0, "Invoke", "hash", b"answer")
MESSAGE = NewMessage("m1", "reviewer", "coder", "please use a list", hop_index=2, traceparent="00-a-b-01")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "m.db", now=clock)
    yield store
    await store.close()


async def finish_task(store: Store, task_id: str) -> None:
    config: Any = {"configurable": {"thread_id": "run", "checkpoint_ns": ""}}
    placed = await store.saver.aput(config, empty_checkpoint(), {}, {})
    await store.saver.aput_writes(placed, [("done", "x")], task_id)


@pytest.mark.requirement("DUR-2", "DUR-7")
async def test_a_run_is_on_disk_with_its_event_when_it_is_accepted(store: Store, tmp_path: Path) -> None:
    run, existing = await store.accept_run(new_run(prompt="Schön 🙂", traceparent="00-a-b-01", tracestate="k=v"))
    assert not existing
    await store.close()
    again = await Store.open(tmp_path / "m.db")
    assert await again.get_run("run") == run
    assert await again.get_run("correlation-run") == run
    assert (run.prompt, run.state, run.remaining_hops, run.current_cycle) == ("Schön 🙂", "accepted", 5, 0)
    (event,) = await again.events("run")
    assert (event.type, event.correlation_id, event.traceparent) == ("RunAccepted", "correlation-run", "00-a-b-01")
    assert run.last_sequence == event.sequence
    await again.close()


@pytest.mark.requirement("DUR-7")
async def test_the_same_request_again_finds_the_same_run_and_another_body_is_refused(store: Store) -> None:
    request = new_run()
    answers = await asyncio.gather(*(store.accept_run(replace(request, run_id=f"run-{n}")) for n in range(20)))
    assert {run.run_id for run, _ in answers} == {"run-0"}
    assert [existing for _, existing in answers].count(False) == 1
    with pytest.raises(RunConflict, match="correlation id correlation-run belongs to another request"):
        await store.accept_run(replace(request, run_id="other", request_hash="another body"))
    with pytest.raises(RunConflict):
        await store.accept_run(replace(request, run_id="run-0", correlation_id="another"))
    assert len(await store.list_runs()) == 1
    assert len(await store.events()) == 1


async def test_runs_are_listed_newest_first_in_pages_and_by_state(store: Store) -> None:
    for number in range(7):
        await store.accept_run(new_run(f"r{number}"))
    await store.commit("r2", update={"state": RUNNING})
    await store.commit("r4", update={"state": WAITING, "pending": {"question": "which?"}})
    await store.commit("r5", update={"state": ENDED, "outcome": "Completed"})
    page = await store.list_runs(limit=3)
    assert [run.run_id for run in page] == ["r6", "r5", "r4"]
    assert [run.run_id for run in await store.list_runs(limit=3, before=page[-1].number)] == ["r3", "r2", "r1"]
    assert [run.run_id for run in await store.list_runs(states=[RUNNING, WAITING])] == ["r4", "r2"]
    assert [run.run_id for run in await store.list_runs(states=[WAITING], before=1)] == []
    assert [run.run_id for run in await store.unfinished_runs()] == ["r0", "r1", "r2", "r3", "r4", "r6"]
    assert page[-1].pending == {"question": "which?"}


async def test_updates_change_only_what_they_name_and_keep_the_times(store: Store, clock: Clock) -> None:
    run, _ = await store.accept_run(new_run())
    clock.now = 1005.0
    await store.commit("run", update={"state": RUNNING, "current_step": "code", "remaining_hops": 2, "recoveries": 1})
    clock.now = 1007.0
    await store.commit("run", update={"state": ENDED, "outcome": "Failed", "reason": "Timeout: step code"})
    changed = await store.get_run("run")
    assert changed == replace(
        run,
        state=ENDED,
        outcome="Failed",
        reason="Timeout: step code",
        current_step="code",
        remaining_hops=2,
        recoveries=1,
        update_time=1007.0,
        end_time=1007.0,
    )


async def test_a_column_that_may_not_change_is_refused_at_once(store: Store) -> None:
    await store.accept_run(new_run())
    with pytest.raises(ValueError, match="not updatable: prompt; allowed: "):
        await store.commit("run", update={"prompt": "another"})
    with pytest.raises(ValueError, match="not updatable: nonsense"):
        store.step("run", "task").update(nonsense=1)
    with pytest.raises(TypeError):
        store.step("run", "task").event(NewEvent("Odd", data={"odd": object()}))
    with pytest.raises(TypeError):
        await store.commit("run", update={"pending": {"odd": object()}})
    with pytest.raises(RunNotFound, match="there is no run other"):
        await store.commit("other", events=[NewEvent("E")])


@pytest.mark.requirement("DUR-3")
async def test_a_step_that_comes_in_after_the_end_changes_nothing(store: Store) -> None:
    await store.accept_run(new_run())
    step = store.step("run", "late")
    assert await store.commit("run", events=[NewEvent("RunEnded")], update={"state": ENDED, "outcome": "Cancelled"})
    step.event(NewEvent("StepCompleted"))
    assert store.step("run", "late") is not step, "the end of a run forgets its open steps"
    late = store.step("run", "late")
    late.event(NewEvent("StepCompleted"))
    late.message(MESSAGE)
    late.update(state=RUNNING, outcome="Completed", result="too late")
    await finish_task(store, "late")
    run = await store.get_run("run")
    assert run is not None
    assert (run.state, run.outcome, run.result) == (ENDED, "Cancelled", "")
    assert [event.type for event in await store.events("run")] == ["RunAccepted", "RunEnded"]
    assert await store.messages("run") == []
    assert not await store.commit("run", events=[NewEvent("Answered")], unless_ended=True)
    assert await store.commit("run", events=[NewEvent("Seen")], update={"state": RUNNING, "result": "no"})
    run = await store.get_run("run")
    assert run is not None
    assert (run.state, run.result) == (ENDED, "")
    assert [event.type for event in await store.events("run")] == ["RunAccepted", "RunEnded", "Seen"]


async def test_a_step_is_the_same_until_it_is_committed_or_discarded(store: Store) -> None:
    await store.accept_run(new_run())
    step = store.step("run", "task")
    step.event(NewEvent("First"))
    assert store.step("run", "task") is step
    assert store.step("run", "other") is not step
    store.discard_step("run", "task")
    assert store.step("run", "task") is not step
    store.step("run", "task").event(NewEvent("Second"))
    await finish_task(store, "task")
    await finish_task(store, "task")
    assert [event.type for event in await store.events("run")] == ["RunAccepted", "Second"]


async def test_an_event_with_a_known_key_is_dropped_within_its_run(store: Store) -> None:
    await store.accept_run(new_run())
    await store.accept_run(new_run("other"))
    for _ in range(2):
        await store.commit("run", events=[NewEvent("Started", key="code/1"), NewEvent("Plain")])
    await store.commit("other", events=[NewEvent("Started", key="code/1")])
    assert [event.type for event in await store.events("run")] == ["RunAccepted", "Started", "Plain", "Plain"]
    assert [event.type for event in await store.events("other")] == ["RunAccepted", "Started"]


@pytest.mark.requirement("A2A-1")
async def test_a_message_is_stored_with_the_step_once_and_delivered_once(store: Store, tmp_path: Path) -> None:
    await store.accept_run(new_run())
    store.step("run", "review").message(MESSAGE)
    assert await store.inbox("run", "coder") == []
    await finish_task(store, "review")
    store.step("run", "review again").message(MESSAGE)
    await finish_task(store, "review again")
    await store.close()
    store = await Store.open(tmp_path / "m.db")
    (waiting,) = await store.inbox("run", "coder")
    assert (waiting.payload, waiting.hop_index, waiting.traceparent) == ("please use a list", 2, "00-a-b-01")
    assert waiting.correlation_id == "correlation-run"
    assert await store.inbox("run", "reviewer") == []
    store.step("run", "code").deliver([waiting.message_id])
    assert await store.inbox("run", "coder") == [waiting]
    await finish_task(store, "code")
    assert await store.inbox("run", "coder") == []
    assert await store.messages("run") == [replace(waiting, delivered=True)]
    await store.close()


@pytest.mark.requirement("A2A-1", "DUR-7")
async def test_a_message_from_outside_is_known_again_by_its_id(store: Store) -> None:
    await store.accept_run(new_run())
    await store.accept_run(new_run("other"))
    record, known = await store.send_message("run", MESSAGE, NewEvent("MessageSent"))
    assert not known
    assert await store.send_message("run", MESSAGE, NewEvent("MessageSent")) == (record, True)
    with pytest.raises(MessageConflict, match="message id m1 was used before in run run for another message"):
        await store.send_message("run", replace(MESSAGE, payload="something else"))
    _, known = await store.send_message("other", MESSAGE)
    assert not known, "ids are unique in a run, not in the world"
    assert [event.type for event in await store.events("run")] == ["RunAccepted", "MessageSent"]


@pytest.mark.requirement("DUR-7")
async def test_a_call_has_one_answer_for_good(store: Store, tmp_path: Path, clock: Clock) -> None:
    await store.accept_run(new_run())
    assert await store.ledger_get("task/0") is None
    answers = await asyncio.gather(*(store.ledger_put(replace(ENTRY, response=str(n).encode())) for n in range(5)))
    assert {answer.response for answer in answers} == {b"0"}
    with pytest.raises(LedgerConflict, match="call task/0 was recorded before with another request"):
        await store.ledger_put(replace(ENTRY, request_hash="another"))
    await store.close()
    again = await Store.open(tmp_path / "m.db")
    assert await again.ledger_get("task/0") == replace(ENTRY, response=b"0", create_time=clock.now)
    await again.close()


async def test_workflows_services_and_settings_are_kept(store: Store, tmp_path: Path) -> None:
    await store.put_workflow("digest", "spec: 1")
    await store.put_workflow("digest", "spec: 1")
    await store.save_services([{"name": "b", "capabilities": ["rag"]}, {"name": "a"}])
    await store.save_services([{"name": "z"}, {"name": "a", "load": 0.5}])
    await store.set_meta("mode", "debug")
    await store.set_meta("epoch", "mine")
    await store.close()
    again = await Store.open(tmp_path / "m.db")
    assert await again.get_workflow("digest") == "spec: 1"
    assert await again.get_workflow("other") is None
    assert await again.load_services() == [{"name": "z"}, {"name": "a", "load": 0.5}]
    assert (await again.get_meta("mode"), await again.get_meta("epoch"), await again.get_meta("x")) == (
        "debug",
        "mine",
        None,
    )
    assert again.epoch == 2
    await again.close()


async def test_a_clock_stops_at_the_last_event_of_a_run_not_at_one_of_the_agent_that_looks_back(tmp_path: Path) -> None:
    now = [1000.0]
    store = await Store.open(tmp_path / "clock.db", now=lambda: now[0])
    await store.accept_run(new_run("run"))
    await store.start_clock("run")
    now[0] += 50
    await store.journal_own([NewEvent("AgentStarted")], correlation_id="c")
    await store.stop_clocks(at_last_event=True)
    record = await store.get_run("run")
    assert record is not None and record.idle_since == 1000.0
    await store.close()
