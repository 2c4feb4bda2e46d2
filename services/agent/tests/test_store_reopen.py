"""A store that is opened again in the same process: nothing acknowledged is lost, and nobody is shut out."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import apsw
import pytest

from milepost_agent.failpoints import arm_failpoints
from milepost_agent.store import NewEvent, Store, StoreClosed, StoreFenced, StoreLocked, StoreWriteError, probe
from store_zygote import new_run


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm_failpoints("")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "m.db")
    await store.accept_run(new_run())
    yield store
    await store.close()


async def fail(store: Store) -> None:
    arm_failpoints("store.before_commit=raise")
    with pytest.raises(StoreWriteError):
        await store.commit("run", events=[NewEvent("Refused")])
    assert store.failure is not None


@pytest.mark.requirement("DUR-6")
async def test_after_a_failed_write_it_reads_on_and_takes_writes_once_it_is_opened_again(store: Store) -> None:
    await store.commit("run", events=[NewEvent("Kept")])
    await fail(store)
    assert await store.get_run("run") is not None
    with pytest.raises(StoreWriteError):
        await store.set_meta("key", "value")
    await store.reopen()
    assert (store.failure, store.epoch) == (None, 2)
    await store.commit("run", events=[NewEvent("Later")])
    assert [event.type for event in await store.events("run")] == ["RunAccepted", "Kept", "Later"]


@pytest.mark.requirement("DUR-6", "AGT-1")
async def test_a_watch_goes_on_through_it_without_gap_or_repeat(store: Store) -> None:
    async with aclosing(store.watch("run")) as events:
        assert (await anext(events)).type == "RunAccepted"
        await fail(store)
        following = asyncio.ensure_future(anext(events))
        await store.reopen()
        await store.commit("run", events=[NewEvent("Later"), NewEvent("Last")])
        assert [(await following).type, (await anext(events)).type] == ["Later", "Last"]


@pytest.mark.requirement("DUR-1", "DUR-6")
async def test_the_lock_is_kept_while_it_is_closed(store: Store) -> None:
    await fail(store)
    await asyncio.gather(store.reopen(), refused(store.path))
    await refused(store.path)


async def refused(path: Path) -> None:
    with pytest.raises(StoreLocked):
        await Store.open(path)


@pytest.mark.requirement("DUR-4")
async def test_it_is_not_opened_again_when_somebody_else_has_owned_it(store: Store) -> None:
    await fail(store)
    with apsw.Connection(str(store.path)) as other:
        other.execute("UPDATE meta SET value = 'somebody else' WHERE key = 'owner'")
    with pytest.raises(StoreFenced, match=r"m\.db: another process took over"):
        await store.reopen()
    with pytest.raises(StoreFenced):
        await store.set_meta("key", "value")
    assert await store.get_run("run") is not None


@pytest.mark.requirement("DUR-6")
async def test_what_was_refused_is_found_by_nobody_after_it(store: Store) -> None:
    await fail(store)
    await store.reopen()
    await store.close()
    again = await Store.open(store.path)
    assert [event.type for event in await again.events("run")] == ["RunAccepted"]
    await again.close()


async def test_a_closed_store_is_not_opened_again(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreClosed):
        await store.reopen()


def test_a_probe_leaves_nothing_and_tells_what_is_wrong(tmp_path: Path) -> None:
    assert probe(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
    assert probe(tmp_path / "missing") == f"{tmp_path}/missing: No such file or directory"
