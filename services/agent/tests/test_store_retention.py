"""Retention removes ended runs by number and age, in small steps, and the file gives back what it no longer needs."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from milepost_agent.store import (
    ENDED,
    WAITING,
    EventRecord,
    NewEvent,
    NewRequest,
    RetentionPolicy,
    Store,
    removal,
    retention,
)
from store_rows import WHOLE, left, rows
from store_zygote import SIGKILLED, Zygote, fill, new_run
from store_zygote import retention as retention_of


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

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


@pytest.fixture(autouse=True)
def without_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAUSE", 0.0)
    monkeypatch.setattr(retention, "LINGER", 0.0)


@pytest.mark.requirement("DUR-8")
async def test_the_runs_that_ended_first_go_whole_and_the_others_stay_whole(store: Store) -> None:
    for number in range(6):
        await fill(store, f"run-{number}", end=False)
    for number in (3, 0, 5, 1, 4):
        await store.commit(f"run-{number}", events=[NewEvent("Last")], update={"state": ENDED})
    sweeper = retention_of(store, ended_runs=2)
    await sweeper.sweep()
    assert await left(store) == ["run-1", "run-2", "run-4"]
    for number in (0, 3, 5):
        assert await rows(store, f"run-{number}") == {}
    for number in (1, 2, 4):
        assert await rows(store, f"run-{number}") == {**WHOLE, "journal": 6 + (number != 2)}
    assert (sweeper.counters.removed_runs, sweeper.counters.removed_rows) == (3, 3 * 13)


@pytest.mark.requirement("DUR-8")
async def test_a_run_goes_at_its_age_and_none_before_a_minute_has_passed(store: Store, clock: Clock) -> None:
    await fill(store, "old")
    clock.now += 3_000
    await fill(store, "young")
    aged = retention_of(store, ended_runs=10, max_age=3_600)
    await aged.sweep()
    assert await left(store) == ["old", "young"]
    clock.now += 600
    await aged.sweep()
    assert await left(store) == ["young"]
    await fill(store, "younger")
    crowded = retention_of(store, ended_runs=1, at_least=RetentionPolicy(1, 3_600).at_least)
    await crowded.sweep()
    assert await left(store) == ["younger"]
    await fill(store, "youngest")
    clock.now += 59
    await crowded.sweep()
    assert await left(store) == ["younger", "youngest"]
    clock.now += 1
    await crowded.sweep()
    assert await left(store) == ["youngest"]


@pytest.mark.requirement("DUR-8")
async def test_a_clock_that_steps_back_does_not_let_new_runs_go_before_old_ones(store: Store, clock: Clock) -> None:
    await fill(store, "first")
    await fill(store, "second")
    clock.now -= 500_000
    await fill(store, "third")
    await retention_of(store, ended_runs=2).sweep()
    assert await left(store) == ["second", "third"]


@pytest.mark.requirement("DUR-8")
async def test_a_run_that_has_not_ended_is_never_touched_however_old_it_is(store: Store, clock: Clock) -> None:
    kept = {"accepted": {}, "running": {"state": "running"}, "waiting": {"state": WAITING, "pending": {"kind": "x"}}}
    updates: dict[str, Any] = {**kept, "paused": {"state": "paused", "paused": clock.now}}
    for run_id, update in updates.items():
        await fill(store, run_id, end=False)
        if update:
            await store.commit(run_id, update=update)
    await fill(store, "ended")
    before = [await store.get_run(run_id) for run_id in updates]
    clock.now += 1e8
    await retention_of(store, max_age=60).sweep()
    assert await left(store) == list(updates)
    assert [await store.get_run(run_id) for run_id in updates] == before
    for run_id in updates:
        assert await rows(store, run_id) == WHOLE


@pytest.mark.requirement("DUR-8")
async def test_a_run_that_has_not_ended_is_refused_by_the_transaction_too(store: Store) -> None:
    await fill(store, "going", end=False)
    await fill(store, "ended")
    hidden = await store._database.submit(lambda transaction: removal.hide(transaction, ["going", "ended"], ""))
    assert hidden == ["ended"]
    assert await left(store) == ["going"]


@pytest.mark.requirement("DUR-8")
async def test_a_run_whose_task_is_not_done_waits(store: Store) -> None:
    await fill(store, "done")
    await fill(store, "driven")
    busy = {"driven"}
    policy = RetentionPolicy(0, 1e9, 0)
    sweeper = store.retention(policy, keep_workflow="digest", busy=lambda run_id: run_id in busy)
    await sweeper.sweep()
    assert await left(store) == ["driven"]
    assert await rows(store, "driven") == WHOLE
    busy.clear()
    await sweeper.sweep()
    assert await left(store) == []


@pytest.mark.requirement("DUR-8")
async def test_no_transaction_is_large_however_large_a_run_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(store, "large", events=1_500)
    for number in range(70):
        await fill(store, f"run-{number}", events=0)
    taken: list[int] = []
    clear, hide = removal.clear, removal.hide

    def cleared(*arguments: Any) -> int:
        taken.append(clear(*arguments))
        return taken[-1]

    def hidden(*arguments: Any) -> list[str]:
        found = hide(*arguments)
        taken.append(len(found))
        return found

    monkeypatch.setattr(removal, "clear", cleared)
    monkeypatch.setattr(removal, "hide", hidden)
    commits = store.counters.commits
    await retention_of(store).sweep()
    assert await left(store) == []
    assert sum(taken) == 71 + 1_501 + 6 + 70 * 7
    assert max(taken) <= retention.STEP_ROWS
    assert store.counters.commits - commits >= len(taken)


@pytest.mark.requirement("DUR-8")
async def test_a_step_of_removal_ends_in_time(store: Store) -> None:
    await fill(store, "large", events=500)
    await store._database.submit(lambda transaction: removal.hide(transaction, ["large"], ""))
    rows = await store._database.submit(lambda transaction: removal.clear(transaction, 200, 0.0))
    assert rows == 1


@pytest.mark.requirement("DUR-8")
async def test_nothing_is_written_while_nothing_is_due(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "INTERVAL", 0.001)
    monkeypatch.setattr(retention, "RECHECK", 0.0)
    for number in range(5):
        await fill(store, f"run-{number}")
    sweeper = retention_of(store, ended_runs=3)
    looks = 0
    due = removal.due

    def counted(*arguments: Any, **named: Any) -> list[str]:
        nonlocal looks
        looks += 1
        return due(*arguments, **named)

    monkeypatch.setattr(removal, "due", counted)
    sweeper.start()
    async with asyncio.timeout(30):
        while await left(store) != ["run-2", "run-3", "run-4"] or await rows(store, "run-1"):
            await asyncio.sleep(0.001)
        for more in (2, 20):
            commits, seen = store.counters.commits, looks
            while looks < seen + more:
                await asyncio.sleep(0.001)
    assert store.counters.commits == commits
    await sweeper.stop()


@pytest.mark.requirement("DUR-8")
async def test_what_ends_while_retention_runs_goes_without_being_asked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "INTERVAL", 0.001)
    sweeper = retention_of(store, ended_runs=1)
    sweeper.start()
    for number in range(5):
        await fill(store, f"run-{number}")
    async with asyncio.timeout(30):
        while await left(store) != ["run-4"]:
            await asyncio.sleep(0.001)
    await sweeper.stop()


@pytest.mark.requirement("DUR-8")
async def test_a_workflow_goes_with_its_last_run_unless_new_runs_use_it(store: Store) -> None:
    for digest in ("old", "used", "digest"):
        await store.put_workflow(digest, f"text of {digest}")
    await store.accept_run(new_run("first", workflow_digest="old"))
    await store.accept_run(new_run("second", workflow_digest="used"))
    await store.commit("first", update={"state": ENDED})
    await retention_of(store).sweep()
    assert [await store.get_workflow(digest) for digest in ("old", "used", "digest")] == [
        None,
        "text of used",
        "text of digest",
    ]


@pytest.mark.requirement("DUR-8")
async def test_ids_of_requests_to_the_agent_itself_are_forgotten_at_the_age_of_a_run(
    store: Store, clock: Clock
) -> None:
    async def switch(request_id: str) -> bool:
        return await store.set_meta("mode", "debug", request=NewRequest(request_id, "SetObservability", "hash"))

    assert await switch("old")
    clock.now += 3_000
    assert await switch("young")
    clock.now += 600
    await retention_of(store, max_age=3_600).sweep()
    assert (await switch("old"), await switch("young")) == (True, False)


@pytest.mark.requirement("DUR-8")
async def test_the_same_request_after_the_removal_is_a_new_run_with_new_sequence_numbers(store: Store) -> None:
    await fill(store, "run")
    last = (await store.events())[-1].sequence
    await retention_of(store).sweep()
    assert await store.events() == []
    again = new_run("again", prompt="another")
    again = type(again)(**{**again.__dict__, "correlation_id": "correlation-run"})
    record, existing = await store.accept_run(again)
    assert (record.run_id, existing) == ("again", False)
    assert [event.sequence for event in await store.events()] == [last + 1]


@pytest.mark.requirement("DUR-8")
async def test_a_watch_of_a_run_that_is_removed_ends_after_what_it_has(store: Store) -> None:
    await fill(store, "run", events=1_200)
    await fill(store, "other", end=False)
    slow = store.watch("run")
    seen = [await anext(slow)]
    live = asyncio.create_task(collect(store.watch("run", after=100_000)))
    other = asyncio.create_task(collect(store.watch("other", after=100_000)))
    everything = store.watch()
    await anext(everything)
    await asyncio.sleep(0)
    await retention_of(store).sweep()
    async with asyncio.timeout(30):
        seen += [event async for event in slow]
        assert await live == []
        assert [event async for event in store.watch("run")] == []
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    await store.commit("other", events=[NewEvent("Later")])
    while (await anext(everything)).type != "Later":
        pass
    assert not other.done()
    store.end_watches()
    await other


async def collect(watch: AsyncIterator[EventRecord]) -> list[EventRecord]:
    return [event async for event in watch]


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote.start()
    yield zygote
    zygote.stop()


@pytest.mark.requirement("DUR-8")
@pytest.mark.parametrize(
    "failpoint", ["store.queued", "store.item_applied", "store.before_commit", "store.after_commit"]
)
async def test_a_kill_anywhere_in_retention_leaves_whole_runs_and_the_next_process_goes_on(
    zygote: Zygote, tmp_path: Path, failpoint: str
) -> None:
    store = await Store.open(tmp_path / "full.db")
    for number in range(6):
        await fill(store, f"run-{number}", events=100)
    await fill(store, "going", events=100, end=False)
    await store.close()
    status, passage = SIGKILLED, 0
    while status == SIGKILLED:
        passage += 1
        path = tmp_path / f"{passage}.db"
        shutil.copy(tmp_path / "full.db", path)
        status = zygote.run("retain", path, tmp_path / "log", 2, failpoints=f"{failpoint}=kill@{passage}")
        await assert_whole_or_gone(path)
        assert zygote.run("retain", path, tmp_path / "log", 2) == 0
        store = await Store.open(path)
        assert await left(store) == ["run-4", "run-5", "going"]
        for number in range(4):
            assert await rows(store, f"run-{number}") == {}
        await store.close()
    assert status == 0
    assert passage > 4, "the failpoint was hardly passed"


async def assert_whole_or_gone(path: Path) -> None:
    """A run that is told of is there with everything; the file is sound."""
    store = await Store.open(path)
    try:
        for run_id in await left(store):
            assert await rows(store, run_id) == {**WHOLE, "journal": 101}
    finally:
        await store.close()
    connection = apsw.Connection(str(path))
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    connection.close()


@pytest.mark.requirement("DUR-8")
async def test_the_newest_events_of_the_agent_itself_are_kept_and_those_of_runs_are_left_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "OWN_EVENTS", 3)
    monkeypatch.setattr(retention, "STEP_ROWS", 2)
    await fill(store, "run", end=False)
    of_run = await store.events("run")
    for number in range(8):
        await store.journal_own([NewEvent("AgentStarted", data={"epoch": number})], correlation_id="c")
    await retention_of(store).sweep()
    kept = await store.events("")
    assert [event.data["epoch"] for event in kept] == [5, 6, 7]
    assert await store.events() == of_run + kept
