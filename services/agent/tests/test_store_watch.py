"""Watchers see every committed event once and in order, however slow they are."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from milepost_agent.failpoints import arm_failpoints
from milepost_agent.store import ENDED, EventRecord, NewEvent, Store
from milepost_agent.store.watch import BUFFER
from store_zygote import new_run


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "m.db")
    await store.accept_run(new_run("a"))
    await store.accept_run(new_run("b"))
    yield store
    await store.close()
    arm_failpoints("")


async def produce(store: Store, run_id: str, count: int, pause: float = 0.0) -> None:
    for number in range(count):
        await store.commit(run_id, events=[NewEvent("Number", data={"number": number})] * random.randint(1, 3))
        if pause:
            await asyncio.sleep(pause)
    await store.commit(run_id, events=[NewEvent("Last")])


async def take_until_last(store: Store, run_id: str | None, after: int = 0, pause: float = 0.0) -> list[EventRecord]:
    seen: list[EventRecord] = []
    lasts = 0
    async for event in store.watch(run_id, after=after):
        seen.append(event)
        lasts += event.type == "Last"
        if lasts == (1 if run_id else 2):
            break
        if pause and random.random() < 0.1:
            await asyncio.sleep(pause)
    return seen


async def test_processes_that_began_while_a_run_was_there_are_told_with_it(store: Store) -> None:
    async def start(cause: str) -> None:
        await store.journal_own([NewEvent("AgentStarted", data={"cause": cause})], correlation_id="c")

    await start("crash")
    await store.journal_own([NewEvent("ObservabilityChanged")], correlation_id="c")
    await store.accept_run(new_run("late"))
    await start("restart")
    await store.commit("a", events=[NewEvent("RunCompleted")], update={"state": ENDED, "outcome": "Completed"})
    await start("restore")

    async def causes(run_id: str, limit: int = 100) -> list[str]:
        return [each.data["cause"] for each in await store.own_events_during("AgentStarted", run_id, limit)]

    assert await causes("a") == ["crash", "restart"]
    assert await causes("b") == ["crash", "restart", "restore"]
    assert await causes("b", 2) == ["restart", "restore"]
    assert await causes("late") == ["restart", "restore"]
    assert await causes("unheard-of") == []


async def test_watchers_see_each_event_once_in_order_from_any_sequence(store: Store) -> None:
    producers = [asyncio.create_task(produce(store, run_id, 300)) for run_id in "ab"]
    watchers = [
        asyncio.create_task(take_until_last(store, run_id, after, pause))
        for run_id in ("a", "b", None)
        for after in (0, 50)
        for pause in (0.0, 0.002)
    ]
    await asyncio.sleep(0.02)
    watchers.append(asyncio.create_task(take_until_last(store, None)))
    everything = [run_id for run_id in ("a", "b", None) for _ in range(4)]
    seen = await asyncio.gather(*watchers)
    await asyncio.gather(*producers)
    assert seen[-1] == await store.events(limit=10_000)
    for position, run_id in enumerate(everything):
        after = (0, 0, 50, 50)[position % 4]
        assert seen[position] == await store.events(run_id, after=after, limit=10_000)


async def test_a_watcher_that_sleeps_keeps_little_in_memory_and_misses_nothing(store: Store) -> None:
    watch = store.watch("a")
    assert (await anext(watch)).type == "RunAccepted"
    pending = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0.05)
    await produce(store, "a", 5)
    first = await pending
    (watcher,) = store._watchers._watchers
    longest = 0
    for _ in range(60):
        await asyncio.gather(*(store.commit("a", events=[NewEvent("More")] * 10) for _ in range(5)))
        longest = max(longest, len(watcher.buffer))
    await store.commit("a", events=[NewEvent("Done")])
    assert 0 < longest <= BUFFER
    seen = [first]
    async for event in watch:
        seen.append(event)
        if event.type == "Done":
            break
    assert seen == (await store.events("a", limit=10_000))[1:]
    assert len(seen) > 3_000


async def test_nothing_is_published_before_it_is_on_disk(store: Store) -> None:
    arm_failpoints("store.before_commit=delay(0.2)")
    watch = store.watch("a", after=2)
    event = asyncio.ensure_future(anext(watch))
    writing = asyncio.create_task(store.commit("a", events=[NewEvent("Slow")]))
    await asyncio.sleep(0.1)
    assert not event.done()
    assert (await event).type == "Slow"
    assert [each.type for each in await store.events("a", after=2)] == ["Slow"]
    await writing


async def test_what_is_undone_is_not_published(store: Store) -> None:
    watch = store.watch("a", after=2)
    event = asyncio.ensure_future(anext(watch))
    with pytest.raises(OverflowError):
        await store.commit("a", events=[NewEvent("Undone"), NewEvent("Bad", hop_index=2**70)])
    await store.commit("a", events=[NewEvent("Done")])
    assert (await event).type == "Done"


async def test_a_watcher_that_goes_away_is_forgotten_and_closing_ends_the_others(store: Store) -> None:
    leaving = store.watch("a")
    await anext(leaving)
    staying = asyncio.create_task(take_until_last(store, "b"))
    await asyncio.sleep(0.05)
    assert len(store._watchers._watchers) == 2
    await leaving.aclose()  # type: ignore[attr-defined]
    assert len(store._watchers._watchers) == 1
    await store.close()
    assert [event.type for event in await asyncio.wait_for(staying, 30)] == ["RunAccepted"]


async def test_sequence_numbers_are_never_used_again(store: Store, tmp_path: Path) -> None:
    before = (await store.events())[-1].sequence
    await store.close()
    store = await Store.open(tmp_path / "m.db")
    await store.commit("a", events=[NewEvent("Later")])
    assert (await store.events(after=before))[0].sequence == before + 1
    await store.close()


@pytest.mark.requirement("OBS-1")
async def test_events_of_the_agent_itself_reach_who_watches_all_runs_and_nobody_else(store: Store) -> None:
    watching = [asyncio.create_task(take_until_last(store, run_id)) for run_id in ("a", None)]
    await asyncio.sleep(0.02)
    await store.journal_own([NewEvent("AgentStarted", data={"epoch": 1})], correlation_id="c")
    for run_id in "ab":
        await store.commit(run_id, events=[NewEvent("Last")])
    of_run, of_all = await asyncio.gather(*watching)
    assert [event.type for event in of_run] == ["RunAccepted", "Last"]
    assert [event.run_id for event in of_all if event.type == "AgentStarted"] == [""]
    assert of_all == await store.events()
