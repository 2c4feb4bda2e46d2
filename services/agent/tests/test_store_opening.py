"""Who may open the file, where, with which SQLite, and only when it is sound."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import store_zygote
from milepost_agent.store import (
    Store,
    StoreCorrupt,
    StoreLocked,
    StoreUnavailable,
    StoreVersion,
    UnsupportedSqlite,
    opening,
    owner,
)
from store_zygote import Log, Zygote, in_own_mounts, new_run


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote.start()
    yield zygote
    zygote.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix not in {".lock", ".db-shm"}}


async def make(path: Path) -> None:
    store = await Store.open(path)
    await store.accept_run(new_run())
    await store.close()


@pytest.mark.requirement("DUR-1")
async def test_a_second_process_is_refused_and_told_who_has_the_file(zygote: Zygote, tmp_path: Path) -> None:
    path, log = tmp_path / "m.db", Log(tmp_path / "log")
    holder = zygote.run("hold", path, tmp_path / "log", background=True)
    try:
        while not log.lines():
            time.sleep(0.01)
        with pytest.raises(StoreLocked, match=rf"m\.db: in use by pid {holder} on "):
            await Store.open(path)
    finally:
        os.kill(holder, 9)
    deadline = time.monotonic() + 30
    while True:
        try:
            store = await Store.open(path)
        except StoreLocked:
            assert time.monotonic() < deadline
        else:
            break
    assert store.epoch == 2
    with pytest.raises(StoreLocked, match=f"pid {os.getpid()} "):
        await Store.open(path)
    await store.close()


async def test_each_owner_has_a_higher_epoch(tmp_path: Path) -> None:
    epochs = []
    for _ in range(3):
        store = await Store.open(tmp_path / "m.db")
        epochs.append(store.epoch)
        await store.close()
    assert epochs == [1, 2, 3]


async def test_a_clean_close_leaves_one_file_that_holds_everything(tmp_path: Path) -> None:
    await make(tmp_path / "m.db")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.db", "m.db.lock"]


def another_user() -> int:
    """Tests often run as root, which may write anywhere; nobody may not."""
    return 65534 if os.getuid() == 0 else 0


def test_a_folder_of_another_user_is_refused(zygote: Zygote, tmp_path: Path, folder: Path) -> None:
    folder.chmod(0o555)
    assert zygote.run("try_open", folder / "m.db", tmp_path / "log", another_user()) == 0
    said = Log(tmp_path / "log").lines()
    assert said == [f"StoreUnavailable: {folder}/m.db: cannot be written: Permission denied"]
    assert list(folder.iterdir()) == []


async def test_a_file_of_another_user_is_refused_and_left_alone(zygote: Zygote, tmp_path: Path, folder: Path) -> None:
    await make(folder / "m.db")
    (folder / "m.db.lock").unlink()
    (folder / "m.db").chmod(0o444)
    folder.chmod(0o777)
    before = snapshot(folder)
    assert zygote.run("try_open", folder / "m.db", tmp_path / "log", another_user()) == 0
    said = Log(tmp_path / "log").lines()
    assert said == [f"StoreUnavailable: {folder}/m.db: cannot be written: read-only file"]
    assert snapshot(folder) == before


async def test_a_read_only_disk_is_refused_and_left_alone(tmp_path: Path, folder: Path) -> None:
    await make(folder / "m.db")
    before = snapshot(folder)
    child = f"{sys.executable} {store_zygote.__file__} try_open {folder}/m.db {tmp_path}/log"
    in_own_mounts(f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && {child}")
    said = Log(tmp_path / "log").lines()
    assert said == [f"StoreNotWritable: {folder}/m.db: cannot be written: Read-only file system"]
    assert snapshot(folder) == before


async def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreUnavailable, match=r"cannot be written: (Not a directory|File exists)"):
        await Store.open(tmp_path / "file" / "m.db")
    (tmp_path / "m.db").mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be opened: "):
        await Store.open(tmp_path / "m.db")


@pytest.mark.requirement("DUR-1")
@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
async def test_network_filesystems_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str) -> None:
    monkeypatch.setattr(owner, "filesystem_type", lambda folder: kind)
    with pytest.raises(StoreUnavailable, match=f"the filesystem is {kind}; a local disk or block volume is needed"):
        await Store.open(tmp_path / "m.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.requirement("DUR-1")
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "virtiofs", ""])
async def test_filesystems_that_pods_have_volumes_on_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    monkeypatch.setattr(owner, "filesystem_type", lambda folder: kind)
    await (await Store.open(tmp_path / "m.db")).close()


def test_the_filesystem_of_a_folder_is_told_by_its_mount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"1 0 8:1 / / rw - ext4 /dev/vda rw\n"
        f"2 1 0:5 / {tmp_path}/with\\040space rw - nfs4 server:/ rw\n"
        f"3 2 0:6 / {tmp_path}/with\\040space/local rw shared:1 - xfs /dev/vdb rw\n"
    )
    monkeypatch.setattr(owner, "_MOUNTS", mounts)
    assert owner.filesystem_type(tmp_path) == "ext4"
    assert owner.filesystem_type(tmp_path / "with space" / "data") == "nfs4"
    assert owner.filesystem_type(tmp_path / "with space" / "local") == "xfs"
    monkeypatch.setattr(owner, "_MOUNTS", tmp_path / "none")
    assert owner.filesystem_type(tmp_path) == ""


@pytest.mark.requirement("DUR-1")
@pytest.mark.parametrize("version", ["3.40.1", "3.51.2"])
async def test_an_sqlite_with_the_wal_reset_bug_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str
) -> None:
    monkeypatch.setattr(opening, "sqlite_version", lambda: version)
    with pytest.raises(UnsupportedSqlite, match=rf"SQLite {version} .* 3\.51\.3 or newer is needed"):
        await Store.open(tmp_path / "m.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.requirement("DUR-1")
def test_the_first_sound_sqlite_and_the_one_in_use_are_taken() -> None:
    owner.require_sqlite("3.51.3")
    owner.require_sqlite(opening.sqlite_version())


async def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "m.db").write_bytes(b"this is a letter to a friend\n" * 200)
    before = snapshot(tmp_path)
    with pytest.raises(
        StoreCorrupt, match=r"m\.db: .*not a database; no backup of it verifies; the file was left as it is"
    ):
        await Store.open(tmp_path / "m.db")
    assert snapshot(tmp_path) == before


async def test_a_damaged_database_is_refused_and_left_alone_with_its_log(zygote: Zygote, tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    await make(path)
    store = await Store.open(path)
    for _ in range(300):
        await store.set_meta("filler", "x" * 4000)
    await store.close()
    # A killed owner leaves a log behind, which must not be lost either.
    assert zygote.run("append", path, tmp_path / "log", failpoints="store.after_commit=kill@3") == -9
    damaged = bytearray(path.read_bytes())
    page = 4096
    damaged[page + 100 : 20 * page] = b"\xff" * (19 * page - 100)
    path.write_bytes(damaged)
    before = snapshot(tmp_path)
    assert "m.db-wal" in before
    with pytest.raises(StoreCorrupt, match="the file was left as it is"):
        await Store.open(path)
    assert snapshot(tmp_path) == before


async def test_a_file_of_a_newer_release_is_refused_and_left_alone(tmp_path: Path) -> None:
    await make(tmp_path / "m.db")
    other = apsw.Connection(str(tmp_path / "m.db"))
    other.execute("UPDATE meta SET value = '999' WHERE key = 'schema_version'")
    other.close()
    before = snapshot(tmp_path)["m.db"]
    with pytest.raises(StoreVersion, match=r"m\.db: schema version 999 is from a newer release; this one knows up to"):
        await Store.open(tmp_path / "m.db")
    assert snapshot(tmp_path)["m.db"] == before


async def test_a_refused_file_is_not_kept_locked(tmp_path: Path) -> None:
    (tmp_path / "m.db").write_bytes(b"no database" * 500)
    with pytest.raises(StoreCorrupt):
        await Store.open(tmp_path / "m.db")
    (tmp_path / "m.db").unlink()
    await make(tmp_path / "m.db")
