"""A file that is damaged, truncated or gone: set aside whole, and the newest good backup goes on in its place."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import apsw
import pytest

from milepost_agent.failpoints import RESTORE_FAILPOINTS
from milepost_agent.store import (
    ENDED,
    BackupFolder,
    Store,
    StoreCorrupt,
    StoreForeign,
    StoreVersion,
    request,
)
from milepost_agent.store import damage as damage_signs
from milepost_agent.store.evidence import RECORD_BYTES, Mark
from store_zygote import SIGKILLED, Log, Zygote, new_run

PAGE = 4096
PARTS = ("m.db", "m.db-wal")


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote.start()
    yield zygote
    zygote.stop()


@pytest.fixture(scope="module")
def killed(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an owner left that was killed: database, log, lock and one backup."""
    folder = tmp_path_factory.mktemp("killed")
    assert zygote.run("lead_a_life", folder / "m.db", folder / "log") == SIGKILLED
    return folder


@pytest.fixture(scope="module")
def ended(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an owner left that ended in order: all of it in the database."""
    folder = tmp_path_factory.mktemp("ended")
    assert zygote.run("lead_a_life", folder / "m.db", folder / "log", "close") == 0
    return folder


def copied(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "data")
    return tmp_path / "data" / "m.db"


def parts(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in PARTS if (folder / name).exists()}


def overwrite(file: Path, start: int, length: int) -> None:
    content = bytearray(file.read_bytes())
    assert start < len(content)
    content[start : start + length] = b"\xff" * len(content[start : start + length])
    file.write_bytes(content)


def truncate(file: Path, size: int) -> None:
    with file.open("r+b") as opened:
        opened.truncate(size)


def last_page(path: Path) -> int:
    return path.stat().st_size - PAGE


def flip_middle(path: Path) -> None:
    overwrite(path, path.stat().st_size // 2 // PAGE * PAGE, 8 * PAGE)


AFTER_A_CLEAN_END: dict[str, Callable[[Path], None]] = {
    "the magic": lambda path: overwrite(path, 0, 16),
    "the header": lambda path: overwrite(path, 16, 84),
    "the write version": lambda path: overwrite(path, 18, 1),
    "page 1": lambda path: overwrite(path, 0, PAGE),
    "the first tables": lambda path: overwrite(path, PAGE, 3 * PAGE),
    "pages in the middle": flip_middle,
    "the last page": lambda path: overwrite(path, last_page(path), PAGE),
    "all of it": lambda path: overwrite(path, 0, path.stat().st_size),
    "cut to nothing": lambda path: truncate(path, 0),
    "cut within the header": lambda path: truncate(path, 50),
    "cut to a page": lambda path: truncate(path, PAGE),
    "cut to a half": lambda path: truncate(path, path.stat().st_size // 2),
    "cut by a page": lambda path: truncate(path, last_page(path)),
    "cut by some bytes": lambda path: truncate(path, path.stat().st_size - 100),
    "removed": lambda path: path.unlink(),
}
AFTER_A_KILL: dict[str, Callable[[Path], None]] = {
    "pages in the middle": flip_middle,
    "cut to nothing": lambda path: truncate(path, 0),
    "cut to a half": lambda path: truncate(path, path.stat().st_size // 2),
    "removed": lambda path: path.unlink(),
    "the log removed": lambda path: path.with_name("m.db-wal").unlink(),
    "the log cut to nothing": lambda path: truncate(path.with_name("m.db-wal"), 0),
    "the log's header": lambda path: overwrite(path.with_name("m.db-wal"), 0, 32),
    "the log's first frame": lambda path: overwrite(path.with_name("m.db-wal"), 32, 100),
    "database and log": lambda path: (
        shutil.move(path, path.with_name("m.db-wal")) and path.with_name("m.db-wal").unlink()
    ),
}


async def assert_restored(store: Store, before: dict[str, bytes], backup_id: str) -> None:
    restored = store.restored
    assert restored is not None
    assert restored.backup_id == backup_id
    assert {name: content for name, content in parts(restored.set_aside).items() if name in before} == before
    note = json.loads((restored.set_aside / "README.json").read_text())
    assert (note["restored_from"], note["reason"]) == (backup_id, restored.reason)
    assert store.epoch > 1_000_000
    for name in ("early", "waiting", "late"):
        run = await store.get_run(name)
        if run is None:
            assert name == "late"
            continue
        events = await store.events(name, limit=5000)
        assert run.restored_from == backup_id
        if run.state != ENDED:
            assert [event.type for event in events][-1] == "RunRestored"
            assert events[-1].data["backup_id"] == backup_id
            assert events[-1].sequence > 1_000_000
        assert events[0].type == "RunAccepted"
    done = await store.get_run("done")
    assert done is not None
    assert (done.state, done.restored_from) == (ENDED, "")


@pytest.mark.requirement("DUR-5")
@pytest.mark.parametrize("damage", AFTER_A_CLEAN_END)
async def test_a_damaged_file_is_set_aside_and_the_backup_goes_on(ended: Path, tmp_path: Path, damage: str) -> None:
    path = copied(ended, tmp_path)
    AFTER_A_CLEAN_END[damage](path)
    before = parts(path.parent)
    store = await Store.open(path)
    try:
        await assert_restored(store, before, Log(ended / "log").lines()[0])
    finally:
        await store.close()
    again = await Store.open(path)
    assert again.restored is None
    await again.close()


@pytest.mark.requirement("DUR-5")
@pytest.mark.parametrize("damage", AFTER_A_KILL)
async def test_damage_after_a_kill_is_told_from_the_outside(killed: Path, tmp_path: Path, damage: str) -> None:
    path = copied(killed, tmp_path)
    AFTER_A_KILL[damage](path)
    before = parts(path.parent)
    store = await Store.open(path)
    try:
        await assert_restored(store, before, Log(killed / "log").lines()[0])
    finally:
        await store.close()


@pytest.mark.requirement("DUR-5", "DUR-3")
async def test_a_kill_alone_is_no_damage(killed: Path, tmp_path: Path) -> None:
    store = await Store.open(copied(killed, tmp_path))
    assert store.restored is None
    assert store.epoch == 2
    assert await store.get_run("late") is not None
    await store.close()


@pytest.mark.requirement("DUR-5")
@pytest.mark.parametrize("torn", [1, 100, PAGE, 3 * PAGE])
async def test_a_torn_end_of_the_log_is_no_damage(killed: Path, tmp_path: Path, torn: int) -> None:
    """What a write leaves that was cut off: it was acknowledged to nobody."""
    path = copied(killed, tmp_path)
    with path.with_name("m.db-wal").open("ab") as log:
        log.write(b"\x00\x00\x00\x05" * (torn // 4 + 1))
    store = await Store.open(path)
    assert store.restored is None
    assert await store.get_run("late") is not None
    await store.close()


@pytest.mark.requirement("DUR-5")
async def test_a_log_that_another_program_moved_into_the_file_is_no_damage(killed: Path, tmp_path: Path) -> None:
    path = copied(killed, tmp_path)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM runs").fetchone() == (4,)
    assert not path.with_name("m.db-wal").exists()
    store = await Store.open(path)
    assert store.restored is None
    assert await store.get_run("late") is not None
    await store.close()


@pytest.mark.requirement("DUR-5")
@pytest.mark.parametrize("damage", ["pages in the middle", "page 1", "the magic", "cut by a page"])
async def test_what_the_damaged_file_still_tells_is_taken_over(ended: Path, tmp_path: Path, damage: str) -> None:
    """The filler is in the middle: it is damaged, and everything younger than the backup can still be read."""
    path = copied(ended, tmp_path)
    AFTER_A_CLEAN_END[damage](path)
    store = await Store.open(path)
    try:
        late, waiting = await store.get_run("late"), await store.get_run("waiting")
        assert late is not None and waiting is not None
        assert (late.state, late.prompt, late.remaining_hops) == ("accepted", "do it", 5)
        assert (waiting.state, waiting.outcome, waiting.result) == (ENDED, "Completed", "r")
        answer = await store.ledger_get("task/0")
        assert answer is not None and answer.response == b"the answer"
        assert [message.payload for message in await store.messages("early")] == ["hurry"]
        assert [event.type for event in await store.events("waiting")][-1] == "RunCompleted"
        event = (await store.events("early", limit=5000))[-1]
        assert event.type == "RunRestored"
        assert (event.data["salvaged_runs"], event.data["salvaged_calls"], event.data["salvaged_messages"]) == (1, 1, 1)
    finally:
        await store.close()


@pytest.mark.requirement("DUR-5", "DUR-3")
async def test_a_graph_goes_on_from_its_last_checkpoint_even_then(zygote: Zygote, tmp_path: Path) -> None:
    """Killed in the last step, with a backup from before the first: what was recorded is not called again."""
    path, log = tmp_path / "m.db", tmp_path / "log"
    assert zygote.run("drive", path, log, failpoints="ledger.recorded=kill@1") == SIGKILLED
    assert zygote.run("back_up", path, tmp_path / "made") == 0
    assert zygote.run("drive", path, log, failpoints="ledger.recorded=kill@3") == SIGKILLED
    store = await Store.open(path)
    await store.close()
    overwrite(path, 0, 100)
    assert zygote.run("drive", path, log) == 0
    store = await Store.open(path)
    run = await store.get_run("run")
    assert run is not None
    assert (run.state, run.restored_from) == (ENDED, Log(tmp_path / "made").lines()[0].split()[0])
    await store.close()
    lines = Log(log).lines()
    assert [line for line in lines if line.startswith("call ")] == [
        f"call {name}" for name in ("research", "code", "review", "finish")
    ]


@pytest.mark.requirement("DUR-5")
@pytest.mark.parametrize("failpoint", sorted(RESTORE_FAILPOINTS))
async def test_a_restore_that_is_killed_is_done_again_from_the_start(
    zygote: Zygote, ended: Path, tmp_path: Path, failpoint: str
) -> None:
    path = copied(ended, tmp_path)
    flip_middle(path)
    before = parts(path.parent)
    for _ in range(2):
        assert zygote.run("try_open", path, tmp_path / "said", failpoints=f"{failpoint}=kill") == SIGKILLED
        if failpoint == "restore.part_moved":
            break
    store = await Store.open(path)
    try:
        await assert_restored(store, before, Log(ended / "log").lines()[0])
        assert await store.get_run("late") is not None
    finally:
        await store.close()
    assert len(list((path.parent / "quarantine").iterdir())) == 1
    assert not list(path.parent.glob("m.db.*rest*"))


@pytest.mark.requirement("DUR-5")
async def test_without_a_backup_that_verifies_nothing_is_changed(ended: Path, tmp_path: Path) -> None:
    path = copied(ended, tmp_path)
    flip_middle(path)
    [backup] = (path.parent / "backups").glob("*.db")
    overwrite(backup, 5 * PAGE, 1)
    before = parts(path.parent)
    with pytest.raises(StoreCorrupt, match=r"^\S+m\.db: .*; no backup of it verifies; the file was left as it is$"):
        await Store.open(path)
    assert parts(path.parent) == before
    assert not (path.parent / "quarantine").exists()


@pytest.mark.requirement("DUR-5")
async def test_an_older_backup_is_taken_when_the_newest_does_not_verify(ended: Path, tmp_path: Path) -> None:
    path = copied(ended, tmp_path)
    store = await Store.open(path)
    folder = BackupFolder(path.parent / "backups")
    newest, _ = folder.create(path, backup_id="", epoch=store.epoch, cause="request", workflow="", stop=Event())
    await store.close()
    overwrite(path.parent / "backups" / f"{newest.backup_id}.db", 5 * PAGE, 1)
    flip_middle(path)
    store = await Store.open(path)
    assert store.restored is not None
    assert store.restored.backup_id == Log(ended / "log").lines()[0] != newest.backup_id
    await store.close()


@pytest.mark.requirement("DUR-5")
async def test_a_restore_that_was_asked_for_takes_nothing_over(ended: Path, tmp_path: Path) -> None:
    path, backup_id = copied(ended, tmp_path), Log(ended / "log").lines()[0]
    before = parts(path.parent)
    request(path, backup_id, "asked for")
    store = await Store.open(path)
    try:
        await assert_restored(store, before, backup_id)
        assert await store.get_run("late") is None
        waiting = await store.get_run("waiting")
        assert waiting is not None and waiting.state == "accepted"
    finally:
        await store.close()


@pytest.mark.requirement("DUR-5")
async def test_a_request_for_a_backup_that_broke_meanwhile_is_dropped(ended: Path, tmp_path: Path) -> None:
    path, backup_id = copied(ended, tmp_path), Log(ended / "log").lines()[0]
    request(path, backup_id, "asked for")
    overwrite(path.parent / "backups" / f"{backup_id}.db", 5 * PAGE, 1)
    store = await Store.open(path)
    assert store.restored is None
    assert await store.get_run("late") is not None
    await store.close()
    assert not (path.parent / "quarantine").exists()


@pytest.mark.requirement("DUR-5")
async def test_a_database_of_another_application_is_refused_and_left_alone(ended: Path, tmp_path: Path) -> None:
    path = copied(ended, tmp_path)
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE letters (text)")
        other.commit()
    before = parts(path.parent)
    for evidence in ("with", "without"):
        if evidence == "without":
            path.with_name("m.db.lock").unlink()
        with pytest.raises((StoreForeign, StoreCorrupt)) as caught:
            await Store.open(path)
        assert "m.db: is a database of another application (tables: letters); choose another folder" in str(
            caught.value
        )
        assert parts(path.parent) == before
    assert not (path.parent / "quarantine").exists()


@pytest.mark.requirement("DUR-5")
async def test_a_newer_schema_is_refused_though_there_are_backups(ended: Path, tmp_path: Path) -> None:
    path = copied(ended, tmp_path)
    with closing(apsw.Connection(str(path))) as other:
        other.execute("UPDATE meta SET value = '999' WHERE key = 'schema_version'")
    before = parts(path.parent)
    with pytest.raises(StoreVersion, match=r"m\.db: schema version 999 is from a newer release"):
        await Store.open(path)
    assert parts(path.parent) == before
    assert not (path.parent / "quarantine").exists()


async def test_a_file_that_a_person_put_back_is_taken_with_a_higher_epoch(ended: Path, tmp_path: Path) -> None:
    path = copied(ended, tmp_path)
    for _ in range(3):
        store = await Store.open(path)
        await store.accept_run(new_run(f"run-{store.epoch}"))
        await store.close()
    shutil.copy(ended / "m.db", path)
    store = await Store.open(path)
    assert store.restored is None
    assert store.epoch == 5
    await store.close()


@pytest.mark.requirement("DUR-5")
async def test_a_file_that_vanished_before_anything_was_backed_up_is_not_replaced_in_silence(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db")
    await store.close()
    (tmp_path / "m.db").unlink()
    with pytest.raises(StoreCorrupt, match=r"is not there, though it was in use before \(epoch 1\); no backup of it"):
        await Store.open(tmp_path / "m.db")


@pytest.mark.requirement("DUR-5")
async def test_after_a_power_cut_a_missing_log_counts_whatever_else_is_known(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is told without a sync may be older than the file then; here nothing was lost, and nothing is."""
    path = copied(killed, tmp_path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM runs").fetchone()
    monkeypatch.setattr(damage_signs, "boot_id", lambda: "another")
    store = await Store.open(path)
    assert store.restored is not None
    assert "its log is not there" in store.restored.reason
    assert await store.get_run("late") is not None
    await store.close()


@pytest.mark.requirement("DUR-5")
@pytest.mark.parametrize(("boot", "damaged"), [("", True), ("another", False)])
async def test_what_was_told_without_a_sync_counts_only_while_the_machine_ran_on(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boot: str, damaged: bool
) -> None:
    path = copied(killed, tmp_path)
    lock = path.with_name("m.db.lock")
    content = lock.read_bytes()
    lock.write_bytes(content[:RECORD_BYTES] + Mark(events=10**9).encode())
    if boot:
        monkeypatch.setattr(damage_signs, "boot_id", lambda: boot)
    store = await Store.open(path)
    assert (store.restored is not None) == damaged
    assert await store.get_run("late") is not None
    await store.close()


@pytest.mark.parametrize("content", [b"", b"pid 1 on host\n", b"\xff" * 600, b"pid 1 on host\n[1, 2]\n" + b" " * 600])
async def test_a_lock_file_that_tells_nothing_is_no_evidence(killed: Path, tmp_path: Path, content: bytes) -> None:
    path = copied(killed, tmp_path)
    path.with_name("m.db.lock").write_bytes(content)
    store = await Store.open(path)
    assert store.restored is None
    assert await store.get_run("late") is not None
    await store.close()
