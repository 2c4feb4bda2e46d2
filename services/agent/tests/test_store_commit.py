"""Group commit: one writer, first in first out, each write alone in its savepoint, failures never hidden."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from milepost_agent.failpoints import arm_failpoints
from milepost_agent.store import (
    ENDED,
    LedgerEntry,
    NewEvent,
    NewMessage,
    RunNotFound,
    Store,
    StoreClosed,
    StoreFenced,
    StoreWriteError,
    database,
)
from store_zygote import new_run


class FaultyDisk(apsw.VFS):
    """The real disk, which counts its syncs and refuses them when told to."""

    def __init__(self) -> None:
        self.real = apsw.vfs_names()[0]
        super().__init__("faulty", self.real, makedefault=True)
        self.syncs = 0
        self.refuse = False

    def xOpen(self, name: Any, flags: Any) -> "FaultyFile":
        return FaultyFile(self, name, flags)


class FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: Any, flags: Any) -> None:
        super().__init__(disk.real, name, flags)
        self._disk = disk

    def xSync(self, flags: int) -> None:
        self._disk.syncs += 1
        if self._disk.refuse:
            raise apsw.IOError("the disk did not sync")
        super().xSync(flags)


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    disk = FaultyDisk()
    yield disk
    disk.unregister()
    assert apsw.vfs_names()[0] == disk.real


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "m.db")
    await store.accept_run(new_run())
    yield store
    await store.close()


@pytest.fixture(autouse=True)
def disarm() -> Iterator[None]:
    arm_failpoints("")
    yield
    arm_failpoints("")


async def numbers(store: Store) -> list[int]:
    return [event.data["number"] for event in await store.events("run") if event.type == "Number"]


def number(value: int) -> list[NewEvent]:
    return [NewEvent("Number", data={"number": value})]


@pytest.mark.requirement("DUR-1")
async def test_writes_that_wait_together_share_a_commit_and_a_sync(disk: FaultyDisk, tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db")
    await store.accept_run(new_run())
    commits, syncs = store.counters.commits, disk.syncs
    await asyncio.gather(*(store.commit("run", events=number(value)) for value in range(200)))
    assert store.counters.items >= 200
    assert store.counters.commits - commits <= 20
    assert store.counters.commits - commits <= disk.syncs - syncs <= 25
    await store.close()


@pytest.mark.requirement("DUR-1")
async def test_every_commit_is_synced_in_full_and_not_in_normal(disk: FaultyDisk, tmp_path: Path) -> None:
    syncs = {}
    for durability in ("full", "normal"):
        store = await Store.open(tmp_path / f"{durability}.db", durability=durability)
        await store.accept_run(new_run())
        before = disk.syncs
        for value in range(10):
            await store.commit("run", events=number(value))
        syncs[durability] = disk.syncs - before
        await store.close()
    assert syncs["full"] >= 10
    assert syncs["normal"] == 0


async def test_writes_are_applied_in_the_order_in_which_they_were_asked_for(store: Store) -> None:
    await asyncio.gather(*(store.commit("run", events=number(value)) for value in range(100)))
    assert await numbers(store) == list(range(100))


async def test_a_write_that_is_refused_leaves_its_neighbours_alone(store: Store) -> None:
    batch = [store.commit("run", events=number(1)), store.commit("no such run", events=number(2))]
    batch.append(store.commit("run", events=number(3), messages=[NewMessage("m", "a", "b", "text")]))
    commits = store.counters.commits
    results = await asyncio.gather(*batch, return_exceptions=True)
    assert isinstance(results[1], RunNotFound)
    assert [results[0], results[2]] == [True, True]
    assert store.counters.commits - commits <= 2
    assert await numbers(store) == [1, 3]
    assert store.failure is None


async def test_a_refused_write_is_undone_whole(store: Store) -> None:
    # The message goes in first, then the event's insert is refused by the database.
    bad = NewEvent("Bad", hop_index=2**70)
    with pytest.raises(OverflowError):
        await store.commit("run", events=[*number(1), bad], messages=[NewMessage("m", "a", "b", "text")])
    assert await store.messages("run") == []
    assert await numbers(store) == []
    await store.commit("run", events=number(2))
    assert await numbers(store) == [2]


async def test_a_note_waits_for_company_and_is_stored_without_any(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = store.counters.commits
    with monkeypatch.context() as patient:
        patient.setattr(database, "LINGER", 60.0)
        store.note("run", NewEvent("Note"))
        await store.commit("run", events=number(1))
    assert store.counters.commits == commits + 1
    assert [event.type for event in await store.events("run")] == ["RunAccepted", "Note", "Number"]
    store.note("run", NewEvent("Alone"))
    async for event in store.watch("run"):
        if event.type == "Alone":
            break
    assert store.counters.commits == commits + 2


async def test_a_write_is_applied_even_if_its_caller_goes_away(store: Store) -> None:
    caller = asyncio.create_task(store.commit("run", events=number(1)))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await store.commit("run", events=number(2))
    assert await numbers(store) == [1, 2]


async def test_a_sync_that_fails_stops_all_writing_and_loses_nothing_acknowledged(
    disk: FaultyDisk, tmp_path: Path
) -> None:
    store = await Store.open(tmp_path / "m.db")
    await store.accept_run(new_run())
    await store.commit("run", events=number(1))
    disk.refuse = True
    with pytest.raises(StoreWriteError, match=r"m\.db: cannot write: .*disk I/O error|did not sync"):
        await store.commit("run", events=number(2))
    assert isinstance(store.failure, StoreWriteError)
    disk.refuse = False
    with pytest.raises(StoreWriteError):
        await store.commit("run", events=number(3))
    with pytest.raises(StoreWriteError):
        await store.ledger_put(LedgerEntry("c/0", "run", 0, "m", "h", b""))
    assert await numbers(store) == [1]
    await store.close()
    reopened = await Store.open(tmp_path / "m.db")
    assert (await numbers(reopened))[0] == 1
    assert 3 not in await numbers(reopened)
    await reopened.close()


async def test_a_commit_that_fails_fails_every_write_in_it(store: Store) -> None:
    arm_failpoints("store.before_commit=raise")
    results = await asyncio.gather(
        *(store.commit("run", events=number(value)) for value in range(5)), return_exceptions=True
    )
    assert all(isinstance(result, StoreWriteError) for result in results)
    assert await numbers(store) == []
    assert isinstance(store.failure, StoreWriteError)


async def test_an_owner_that_was_replaced_cannot_write(store: Store) -> None:
    other = apsw.Connection(str(store.path))
    other.execute("UPDATE meta SET value = value + 1 WHERE key = 'epoch'")
    other.close()
    with pytest.raises(StoreFenced, match="another process took over"):
        await store.commit("run", events=number(1))
    with pytest.raises(StoreFenced):
        await store.accept_run(new_run("second"))
    assert await numbers(store) == []


async def test_closing_commits_what_is_queued_and_refuses_what_comes_later(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db")
    await store.accept_run(new_run())
    queued = [asyncio.create_task(store.commit("run", events=number(value))) for value in range(20)]
    store.note("run", NewEvent("Note"))
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    await asyncio.gather(*queued)
    with pytest.raises(StoreClosed):
        await store.commit("run", events=number(99))
    with pytest.raises(StoreClosed):
        await store.get_run("run")
    store = await Store.open(tmp_path / "m.db")
    assert await numbers(store) == list(range(20))
    assert "Note" in [event.type for event in await store.events("run")]
    await store.close()


async def test_reads_do_not_wait_for_a_commit(store: Store) -> None:
    arm_failpoints("store.before_commit=delay(0.3)")
    writing = asyncio.create_task(store.commit("run", events=number(1), update={"state": ENDED}))
    await asyncio.sleep(0.05)
    run = await store.get_run("run")
    assert run is not None
    assert run.state == "accepted"
    assert not writing.done()
    await writing
