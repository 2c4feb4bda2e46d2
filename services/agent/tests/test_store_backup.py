"""Backups: taken while runs write, checked on the copy, kept whole or not at all."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import apsw
import pytest

import store_zygote
from milepost_agent.failpoints import BACKUP_FAILPOINTS
from milepost_agent.store import (
    BackupConflict,
    BackupDamaged,
    BackupFailed,
    BackupFolder,
    BackupNotFound,
    Manifest,
    NewEvent,
    Store,
    is_backup_id,
    migrations,
)
from milepost_agent.store.copying import copy_online, read_contents, sha256_of
from store_zygote import SIGKILLED, Log, Zygote, in_own_mounts, new_run

ID = "20260101T000000Z-1"


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote.start()
    yield zygote
    zygote.stop()


def create(folder: BackupFolder, database: Path, backup_id: str = "", **changes: Any) -> tuple[Manifest, bool]:
    fields: dict[str, Any] = {"epoch": 1, "cause": "request", "workflow": "flow", "stop": Event()}
    return folder.create(database, backup_id=backup_id, **(fields | changes))


def names(folder: BackupFolder) -> list[str]:
    return sorted(file.name for file in folder.path.iterdir())


async def with_runs(path: Path, count: int = 2, size: int = 10) -> Store:
    store = await Store.open(path)
    for number in range(count):
        await store.accept_run(new_run(f"run-{number}"))
        await store.commit(f"run-{number}", events=[NewEvent("Filler", data={"fill": "x" * size})])
    return store


@pytest.mark.requirement("DUR-5")
async def test_a_backup_is_a_whole_database_with_a_manifest_that_tells_what_is_in_it(tmp_path: Path) -> None:
    store = await with_runs(tmp_path / "m.db")
    folder = BackupFolder(tmp_path / "backups")
    made, existing = create(folder, store.path, cause="schedule")
    assert not existing
    assert is_backup_id(made.backup_id)
    assert names(folder) == [f"{made.backup_id}.db", f"{made.backup_id}.json"]
    file = folder.path / f"{made.backup_id}.db"
    assert (made.size_bytes, made.sha256) == (file.stat().st_size, sha256_of(file))
    assert (made.epoch, made.runs, made.cause, made.workflow) == (1, 2, "schedule", "flow")
    assert made.last_sequence == (await store.events(limit=1000))[-1].sequence
    assert (made.store_id, made.schema_version) == (store.owner_id, migrations.SCHEMA_VERSION)
    assert made.sqlite_version == apsw.sqlite_lib_version()
    assert folder.verify(made.backup_id) == made
    assert json.loads(file.with_suffix(".json").read_text())["sha256"] == made.sha256
    await store.close()


@pytest.mark.requirement("DUR-5")
async def test_a_backup_while_fifty_runs_write_is_one_moment_of_them(tmp_path: Path) -> None:
    """Every run numbers its events: what the copy holds of each is the beginning, and of all of them together too."""
    store = await with_runs(tmp_path / "m.db", 50, size=8000)
    folder = BackupFolder(tmp_path / "backups")
    stop = asyncio.Event()
    written = 0

    async def write(name: str) -> None:
        nonlocal written
        number = 0
        while not stop.is_set():
            await store.commit(name, events=[NewEvent("Number", data={"number": number, "fill": "x" * 500})])
            number += 1
            written += 1

    writers = [asyncio.create_task(write(f"run-{number}")) for number in range(50)]
    while written < 500:
        await asyncio.sleep(0.01)
    before = (await store.events(after=0, limit=1_000_000))[-1].sequence
    made, _ = await asyncio.to_thread(create, folder, store.path)
    while (await store.events(after=made.last_sequence, limit=1)) == []:
        await asyncio.sleep(0.01)
    stop.set()
    await asyncio.gather(*writers)
    assert before <= made.last_sequence
    live = await store.events(limit=1_000_000)
    with closing(apsw.Connection(str(folder.path / f"{made.backup_id}.db"), flags=apsw.SQLITE_OPEN_READONLY)) as copy:
        copied = copy.execute("SELECT sequence, run_id, data FROM journal ORDER BY sequence").fetchall()
    assert [row[0] for row in copied] == [event.sequence for event in live if event.sequence <= made.last_sequence]
    assert copied[-1][0] == made.last_sequence < live[-1].sequence
    await store.close()


@pytest.mark.requirement("DUR-5")
async def test_no_write_waits_for_a_backup_and_none_makes_it_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two steps of the copy a run commits: the copy has as many steps as before."""
    store = await with_runs(tmp_path / "m.db", 300, size=16000)
    loop = asyncio.get_running_loop()
    steps = 0

    class Writing(Event):
        def wait(self, timeout: float | None = None) -> bool:
            nonlocal steps
            steps += 1
            event = NewEvent("Number", data={"number": steps, "fill": "x" * 500})
            asyncio.run_coroutine_threadsafe(store.commit("run-0", events=[event]), loop).result(30)
            return False

    last = (await store.events(limit=1_000_000))[-1].sequence
    await asyncio.to_thread(copy_online, store.path, tmp_path / "copy", Writing())
    pages = (tmp_path / "copy").stat().st_size // 4096
    assert steps == -(-pages // 128) > 5
    assert read_contents(tmp_path / "copy").last_sequence == last
    await store.close()


@pytest.mark.requirement("DUR-5")
@pytest.mark.parametrize("failpoint", sorted(BACKUP_FAILPOINTS))
async def test_a_backup_that_is_killed_leaves_nothing_that_counts(
    zygote: Zygote, tmp_path: Path, failpoint: str
) -> None:
    path = tmp_path / "m.db"
    store = await with_runs(path)
    folder = BackupFolder(tmp_path / "backups")
    first, second = create(folder, path)[0], create(folder, path)[0]
    await store.close()
    assert zygote.run("back_up", path, tmp_path / "log", ID, failpoints=f"{failpoint}=kill") == SIGKILLED
    whole = failpoint in ("backup.kept", "backup.rotating")
    found = folder.entries()
    assert [each.damage for each in found] == [""] * (2 + whole)
    assert {each.backup_id for each in found} >= {first.backup_id, second.backup_id}
    assert zygote.run("back_up", path, tmp_path / "log", ID) == 0
    assert Log(tmp_path / "log").lines()[-1] == f"{ID} {whole}"
    assert names(folder) == sorted(f"{each.backup_id}{end}" for each in folder.entries() for end in (".db", ".json"))
    assert len(folder.entries()) == 2
    folder.verify(ID)


@pytest.mark.requirement("DUR-5")
async def test_what_a_kill_left_is_cleaned_by_the_next_owner(zygote: Zygote, tmp_path: Path) -> None:
    path, folder = tmp_path / "m.db", BackupFolder(tmp_path / "backups")
    for failpoint in ("backup.step_copied", "backup.manifest_written"):
        assert zygote.run("back_up", path, tmp_path / "log", ID, failpoints=f"{failpoint}=kill") == SIGKILLED
        assert names(folder) != []
        assert folder.entries() == []
        await (await Store.open(path)).close()
        assert names(folder) == []


@pytest.mark.requirement("DUR-5")
async def test_the_same_id_again_is_the_same_backup(tmp_path: Path) -> None:
    store = await with_runs(tmp_path / "m.db")
    folder = BackupFolder(tmp_path / "backups")
    made, existing = create(folder, store.path, ID)
    await store.accept_run(new_run("more"))
    assert create(folder, store.path, ID) == (made, True)
    assert not existing
    with pytest.raises(BackupNotFound, match="'yesterday' is no backup id; allowed: like 20261125T194500Z-7"):
        create(folder, store.path, "yesterday")
    with pytest.raises(BackupNotFound):
        folder.find("../../etc/passwd")
    await store.close()


@pytest.mark.requirement("DUR-5")
async def test_ids_that_are_made_in_the_same_second_differ(tmp_path: Path) -> None:
    store = await with_runs(tmp_path / "m.db")
    folder = BackupFolder(tmp_path / "backups", now=lambda: 1_795_635_900.0)
    assert [create(folder, store.path)[0].backup_id for _ in range(2)] == ["20261125T194500Z-1", "20261125T194501Z-1"]
    await store.close()


@pytest.mark.requirement("DUR-5")
async def test_rotation_keeps_the_newest_and_does_not_count_damaged_ones(tmp_path: Path) -> None:
    store = await with_runs(tmp_path / "m.db")
    folder = BackupFolder(tmp_path / "backups")
    made = []
    for number in range(5):
        await store.accept_run(new_run(f"more-{number}"))
        made.append(create(folder, store.path)[0].backup_id)
    assert folder.rotate(5) == []
    for damaged in made[3:]:
        file = folder.path / f"{damaged}.db"
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert [each.backup_id for each in folder.entries() if each.damage] == made[:2:-1]
    assert folder.rotate(2) == [made[0]]
    assert [each.backup_id for each in folder.entries()] == made[:0:-1]
    assert folder.rotate(1) == [made[1]]
    assert folder.rotate(1) == []
    newest = folder.newest_sound()
    assert newest is not None and newest.backup_id == made[2]
    await store.close()


@pytest.mark.requirement("DUR-5")
async def test_the_newest_is_told_by_what_is_in_it_and_not_by_the_clock(tmp_path: Path) -> None:
    store = await with_runs(tmp_path / "m.db")
    now = 1_795_635_900.0
    folder = BackupFolder(tmp_path / "backups", now=lambda: now)
    older, _ = create(folder, store.path)
    await store.accept_run(new_run("more"))
    now -= 86_400
    newer, _ = create(folder, store.path)
    assert newer.backup_id < older.backup_id
    assert [each.backup_id for each in folder.entries()] == [newer.backup_id, older.backup_id]
    assert folder.rotate(1) == [older.backup_id]
    await store.close()


@pytest.mark.requirement("DUR-5")
@pytest.mark.parametrize("where", ["file", "size", "manifest", "no manifest", "claim"])
async def test_a_backup_that_is_not_what_its_manifest_says_is_damaged(tmp_path: Path, where: str) -> None:
    store = await with_runs(tmp_path / "m.db")
    await store.close()
    folder = BackupFolder(tmp_path / "backups")
    made, _ = create(folder, store.path, ID)
    file, manifest = folder.path / f"{ID}.db", folder.path / f"{ID}.json"
    if where == "file":
        file.write_bytes(file.read_bytes().replace(b"do it", b"do at", 1))
    elif where == "size":
        file.write_bytes(file.read_bytes() + b"x")
    elif where == "manifest":
        manifest.write_text(manifest.read_text().replace('"runs"', '"walks"'))
    elif where == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(replace(made, runs=99).encode())
    with pytest.raises(BackupDamaged, match=f"^backup {ID}: "):
        folder.verify(ID)
    assert folder.newest_sound() is None
    assert bool(folder.find(ID).damage) == (where != "claim")


@pytest.mark.requirement("DUR-5")
async def test_a_file_from_outside_is_verified_before_it_is_kept(tmp_path: Path) -> None:
    store = await with_runs(tmp_path / "m.db")
    made, _ = create(BackupFolder(tmp_path / "backups"), store.path, ID)
    content = (tmp_path / "backups" / f"{ID}.db").read_bytes()
    await store.close()
    folder = BackupFolder(tmp_path / "elsewhere")

    def upload(content: bytes, sha256: str = "", workflow: str = "flow") -> tuple[Manifest, bool]:
        partial = folder.begin_upload(ID)
        partial.write_bytes(content)
        return folder.accept(partial, ID, sha256, made.create_time, workflow)

    broken = bytearray(content)
    broken[4096:12288] = b"\xff" * 8192
    for refused, sha256 in ((bytes(broken), ""), (content[:-4096], ""), (b"a letter", ""), (content, "0" * 64)):
        with pytest.raises(BackupDamaged):
            upload(refused, sha256)
        assert names(folder) == []
    with pytest.raises(BackupDamaged, match=f"backup {ID}: is of workflow flow, not of other"):
        upload(content, workflow="other")
    kept, existing = upload(content, made.sha256)
    assert not existing
    assert kept == replace(made, cause="upload")
    assert upload(content) == (kept, True)
    other = tmp_path / "other.db"
    other.write_bytes(content)
    with closing(apsw.Connection(str(other))) as database:
        database.execute("UPDATE runs SET prompt = 'other'")
        database.pragma("journal_mode", "delete")
    with pytest.raises(BackupConflict):
        upload(other.read_bytes())
    assert folder.verify(ID) == kept


@pytest.mark.requirement("DUR-5")
async def test_a_database_is_backed_up_before_its_schema_is_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await with_runs(tmp_path / "m.db")
    await store.close()
    newer = (*migrations.MIGRATIONS, "CREATE TABLE later (x)")
    monkeypatch.setattr(migrations, "MIGRATIONS", newer)
    for module in ("migrations", "opening", "copying"):
        monkeypatch.setattr(f"milepost_agent.store.{module}.SCHEMA_VERSION", len(newer))
    store = await Store.open(tmp_path / "m.db")
    await store.close()
    [backup] = BackupFolder(tmp_path / "backups").entries()
    assert backup.manifest is not None
    assert (backup.manifest.cause, backup.manifest.schema_version) == ("migration", len(newer) - 1)
    assert (backup.manifest.runs, backup.manifest.workflow, backup.damage) == (2, "flow", "")
    await (await Store.open(tmp_path / "m.db")).close()
    assert len(BackupFolder(tmp_path / "backups").entries()) == 1


@pytest.mark.requirement("DUR-5")
async def test_a_backup_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    store = await with_runs(tmp_path / "m.db")
    folder, stop = BackupFolder(tmp_path / "backups"), Event()
    stop.set()
    with pytest.raises(BackupFailed, match="it was broken off"):
        create(folder, store.path, stop=stop)
    assert names(folder) == []
    await store.close()


@pytest.mark.requirement("DUR-5")
def test_a_disk_without_room_for_a_backup_keeps_what_it_has_for_the_runs(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    child = f"{sys.executable} {store_zygote.__file__}"
    in_own_mounts(
        f"mount -t tmpfs -o size=16m none {disk}\n"
        f"{child} fill_and_back_up {disk}/m.db {tmp_path}/log\n"
        f"{child} dump {disk}/m.db {tmp_path}/checked"
    )
    lines = Log(tmp_path / "log").lines()
    assert "refused BackupFailed " in lines[-1] and "no room for a backup" in lines[-1]
    acknowledged = {line for line in lines if line.startswith(("event ", "call "))}
    assert len(acknowledged) == 220
    assert acknowledged <= set(Log(tmp_path / "checked").lines())


@pytest.mark.requirement("DUR-5")
def test_a_backup_that_cannot_be_written_harms_no_run(tmp_path: Path) -> None:
    """The limit for one file is below the size of the database, and its log is not."""
    command = f"exec {sys.executable} {store_zygote.__file__} back_up_without_room {tmp_path}/m.db {tmp_path}/log"
    subprocess.run(["bash", "-c", command], check=True)
    lines = Log(tmp_path / "log").lines()
    assert lines[0].startswith("refused BackupFailed ")
    assert lines[1] == "committed"
    assert list((tmp_path / "backups").iterdir()) == []
