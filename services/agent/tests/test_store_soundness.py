"""A large file is used before all of it was checked, and what is found later ends its use; so a start takes no longer
because of runs that have ended."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from milepost_agent.store import NewEvent, Store, StoreCorrupt, StoreError, soundness
from milepost_agent.store.evidence import Evidence, boot_id
from milepost_agent.store.soundness import AT_ONCE_BYTES, check_first
from store_zygote import new_run

LEFT = Evidence("store", 3, clean=False, full=True, boot=boot_id())


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as large, and is checked at once beside the work."""
    monkeypatch.setattr(soundness, "AT_ONCE_BYTES", 0)
    monkeypatch.setattr(soundness, "DELAY", 0.0)


async def filled(path: Path) -> None:
    store = await Store.open(path)
    await store.accept_run(new_run())
    for _ in range(40):
        await store.commit("run", events=[NewEvent("Filling", data={"text": "x" * 3000})])
    await store.close()


def damage_journal(path: Path) -> None:
    """Overwrites a leaf of the journal that nobody reads at a start."""
    connection = apsw.Connection(str(path))
    pages = connection.execute("SELECT pageno FROM dbstat WHERE name = 'journal' AND pagetype = 'leaf'").fetchall()
    size = connection.pragma("page_size")
    connection.close()
    with path.open("r+b") as file:
        file.seek((pages[len(pages) // 2][0] - 1) * size)
        file.write(b"\xff" * 64)


@pytest.mark.requirement("SPD-3")
def test_only_a_start_that_may_meet_torn_pages_waits_for_the_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "m.db"
    with file.open("wb") as content:
        content.truncate(AT_ONCE_BYTES + 1)
    assert not check_first(file, LEFT)
    assert not check_first(file, replace(LEFT, clean=True, boot="another"))
    assert check_first(file, replace(LEFT, boot="another"))
    assert check_first(file, replace(LEFT, suspect=True))
    assert check_first(file, None)
    os.truncate(file, AT_ONCE_BYTES)
    assert check_first(file, LEFT)


@pytest.mark.usefixtures("large")
@pytest.mark.requirement("DUR-5")
async def test_a_damage_that_is_found_beside_the_work_ends_it_and_is_found_by_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    await filled(path)
    damage_journal(path)
    store = await Store.open(path)
    assert (await store.get_run("run")) is not None
    async with asyncio.timeout(30):
        reason = await store.until_failure()
    assert reason.startswith(f"{path}: ")
    with pytest.raises(StoreCorrupt):
        await store.commit("run", events=[NewEvent("Late")])
    with pytest.raises(StoreCorrupt):
        await store.reopen()
    await store.close()
    with pytest.raises(StoreError, match="no backup of it verifies; the file was left as it is"):
        await Store.open(path)


@pytest.mark.usefixtures("large")
async def test_a_sound_file_is_used_and_closed_while_it_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    await filled(path)
    for _ in range(3):
        store = await Store.open(path)
        await store.commit("run", events=[NewEvent("More")])
        assert store.failure is None
        await store.close()
