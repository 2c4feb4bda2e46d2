"""Backups of a served agent: on request, on a schedule that outlives restarts, handed out, taken in and restored."""

import asyncio
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from milepost.agent.v1 import backup_pb2, backup_pb2_grpc
from milepost_agent.backup_servicer import CHUNK_BYTES, BackupServicer
from milepost_agent.backups import Backups, Schedule
from milepost_agent.failpoints import arm_failpoints
from milepost_agent.store import BackupFailed, BackupFolder, NewEvent, NewRun, Store, request
from milepost_service.interceptors import StatusInterceptor

PATIENCE = 20.0
ID = "20260101T000000Z-1"


def run(number: int) -> NewRun:
    return NewRun(f"run-{number}", f"id-{number}", "hash", "flow", "digest", "do it", max_hops=5, max_cycles=2)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


@dataclass
class Served:
    store: Store
    folder: BackupFolder
    backups: Backups
    restored: list[bool]
    stub: Any = None

    async def upload(self, backup: backup_pb2.Backup, chunks: Sequence[bytes]) -> backup_pb2.Backup:
        async def parts() -> AsyncIterator[backup_pb2.UploadBackupRequest]:
            yield backup_pb2.UploadBackupRequest(backup=backup)
            for chunk in chunks:
                yield backup_pb2.UploadBackupRequest(chunk=chunk)

        return (await self.stub.UploadBackup(parts())).backup

    async def download(self, backup_id: str) -> tuple[backup_pb2.Backup, bytes]:
        parts = [each async for each in self.stub.DownloadBackup(backup_pb2.DownloadBackupRequest(backup_id=backup_id))]
        return parts[0].backup, b"".join(each.chunk for each in parts[1:])


@asynccontextmanager
async def serving(folder: Path, schedule: Schedule | None = None, **options: Any) -> AsyncIterator[Served]:
    store = await Store.open(folder / "m.db")
    kept = BackupFolder(folder / "backups", now=options.get("now", time.time))
    restored: list[bool] = []

    async def carry_out() -> None:
        await store.reopen(restore=True)
        restored.append(True)

    backups = Backups(store, kept, "flow", schedule, carry_out=carry_out, **options)
    served = Served(store, kept, backups, restored)
    server = grpc.aio.server(interceptors=[StatusInterceptor()])
    servicer = BackupServicer(served.backups)
    backup_pb2_grpc.add_BackupServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    served.backups.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            served.stub = backup_pb2_grpc.BackupServiceStub(channel)
            yield served
    finally:
        await server.stop(0)
        await served.backups.stop()
        await store.close()


@pytest.mark.requirement("DUR-5")
async def test_a_backup_on_request_is_made_once_for_an_id_and_listed(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.store.accept_run(run(1))
        made = await served.stub.CreateBackup(backup_pb2.CreateBackupRequest(backup_id=ID))
        again = await served.stub.CreateBackup(backup_pb2.CreateBackupRequest(backup_id=ID))
        assert (made.existing, again.existing) == (False, True)
        assert made.backup == again.backup
        assert (made.backup.cause, made.backup.runs, made.backup.epoch) == ("request", 1, 1)
        other = await served.stub.CreateBackup(backup_pb2.CreateBackupRequest())
        listed = await served.stub.ListBackups(backup_pb2.ListBackupsRequest())
        assert [each.backup_id for each in listed.backups] == [other.backup.backup_id, ID]
        assert not listed.HasField("next_time")


@pytest.mark.requirement("DUR-5")
async def test_a_backup_goes_on_when_its_caller_goes_away(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        call = served.stub.CreateBackup(backup_pb2.CreateBackupRequest(backup_id=ID))
        await asyncio.sleep(0)
        call.cancel()
        made = await served.stub.CreateBackup(backup_pb2.CreateBackupRequest(backup_id=ID))
        assert made.backup.backup_id == ID
        assert len(served.folder.entries()) == 1


@pytest.mark.requirement("DUR-5")
async def test_a_download_is_the_file_and_an_upload_of_it_the_same_backup_elsewhere(tmp_path: Path) -> None:
    async with serving(tmp_path / "a") as served:
        await served.store.accept_run(run(1))
        filler = NewEvent("Filler", data={"fill": os.urandom(600_000).hex()})
        await served.store.commit("run-1", events=[filler])
        await served.stub.CreateBackup(backup_pb2.CreateBackupRequest(backup_id=ID))
        backup, content = await served.download(ID)
        assert len(content) > 2 * CHUNK_BYTES
        assert content == (served.folder.path / f"{ID}.db").read_bytes()
        assert hashlib.sha256(content).hexdigest() == backup.sha256
    async with serving(tmp_path / "b") as served:
        half = len(content) // 2
        kept = await served.upload(backup, [content[:half], content[half:]])
        assert (kept.cause, kept.sha256, kept.create_time) == ("upload", backup.sha256, backup.create_time)
        assert await served.upload(backup, [content]) == kept
        assert (await served.download(ID))[1] == content


@pytest.mark.requirement("DUR-5")
async def test_an_upload_that_is_not_what_was_announced_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.store.accept_run(run(1))
        await served.stub.CreateBackup(backup_pb2.CreateBackupRequest(backup_id=ID))
        backup, content = await served.download(ID)
        shutil.rmtree(served.folder.path)
        broken = content[:4096] + b"\xff" * 4096 + content[8192:]

        def announced(**changes: Any) -> backup_pb2.Backup:
            other = backup_pb2.Backup()
            other.CopyFrom(backup)
            for name, value in changes.items():
                setattr(other, name, value)
            return other

        invalid, failed = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
        for head, chunks, code, words in (
            (announced(backup_id="../etc"), [content], invalid, "backup.backup_id: '../etc' is no backup id"),
            (announced(size_bytes=0), [content], invalid, "backup.size_bytes: 0 is out of range"),
            (announced(), [content[:-1]], invalid, f"chunk: {len(content) - 1:,} of {len(content):,} bytes came"),
            (announced(), [content, b"x"], invalid, f"chunk: more than {len(content):,} bytes came"),
            (announced(), [broken], failed, "sha256 is "),
            (announced(sha256=""), [broken], failed, "m"),
            (announced(sha256="", size_bytes=8), [b"a letter"], failed, "not a database"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await served.upload(head, chunks)
            assert caught.value.code() == code, caught.value.details()
            details = caught.value.details()
            assert details is not None and words in details and "\n" not in details
            assert not served.folder.path.exists() or list(served.folder.path.iterdir()) == []
        with pytest.raises(grpc.aio.AioRpcError, match="the first part must be the backup"):
            await served.stub.UploadBackup(iter([backup_pb2.UploadBackupRequest(chunk=b"x")]))


@pytest.mark.requirement("DUR-5")
async def test_what_does_not_exist_or_verify_is_refused_by_name(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.stub.CreateBackup(backup_pb2.CreateBackupRequest(backup_id=ID))
        file = served.folder.path / f"{ID}.db"
        file.write_bytes(file.read_bytes()[:-1] + b"?")
        other = "20260101T000000Z-2"
        for call, code in (
            (served.stub.CreateBackup(backup_pb2.CreateBackupRequest(backup_id="x")), grpc.StatusCode.INVALID_ARGUMENT),
            (served.download(other), grpc.StatusCode.NOT_FOUND),
            (served.download(ID), grpc.StatusCode.FAILED_PRECONDITION),
            (served.stub.RestoreBackup(backup_pb2.RestoreBackupRequest(backup_id=other)), grpc.StatusCode.NOT_FOUND),
            (
                served.stub.RestoreBackup(backup_pb2.RestoreBackupRequest(backup_id=ID)),
                grpc.StatusCode.FAILED_PRECONDITION,
            ),
            (served.stub.RestoreBackup(backup_pb2.RestoreBackupRequest()), grpc.StatusCode.NOT_FOUND),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() == code, caught.value.details()
        [listed] = (await served.stub.ListBackups(backup_pb2.ListBackupsRequest())).backups
        assert listed.damage == "the file's sha256 is not that of its manifest"
        assert served.restored == []
        assert not (tmp_path / "m.db.restore").exists()


@pytest.mark.requirement("DUR-5")
async def test_a_restore_goes_on_from_the_backup_in_the_same_process_and_is_backed_up(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.store.accept_run(run(1))
        await served.stub.CreateBackup(backup_pb2.CreateBackupRequest(backup_id=ID))
        await served.store.accept_run(run(2))
        answer = await served.stub.RestoreBackup(backup_pb2.RestoreBackupRequest())
        assert answer.backup.backup_id == ID
        assert served.store.epoch == 1_000_002
        assert await served.store.get_run("run-2") is None
        first = await served.store.get_run("run-1")
        assert first is not None and first.restored_from == ID
        await served.store.accept_run(run(3))
        newest, oldest = served.folder.entries()
        assert oldest.backup_id == ID
        assert newest.manifest is not None and newest.manifest.epoch == served.store.epoch
        assert served.backups.last_time == newest.manifest.create_time


@pytest.mark.requirement("DUR-5")
async def test_a_restore_that_was_cut_off_is_done_by_the_next_opening_and_backed_up(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.store.accept_run(run(1))
        await served.stub.CreateBackup(backup_pb2.CreateBackupRequest(backup_id=ID))
        await served.store.accept_run(run(2))
    request(tmp_path / "m.db", ID, "a restore was asked for")
    async with serving(tmp_path) as served:
        assert served.store.restored is not None and served.store.restored.asked
        assert await served.store.get_run("run-2") is None
        await until(lambda: len(served.folder.entries()) == 2)


@pytest.mark.requirement("DUR-5")
async def test_a_restore_breaks_a_backup_off_that_is_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as served:
        await served.stub.CreateBackup(backup_pb2.CreateBackupRequest(backup_id=ID))
        arm_failpoints("backup.begun=delay(0.5)")
        making = asyncio.ensure_future(served.backups.create("20260101T000000Z-2"))
        await until(lambda: list(served.folder.path.glob("*.partial")))
        await served.stub.RestoreBackup(backup_pb2.RestoreBackupRequest(backup_id=ID))
        with pytest.raises(BackupFailed, match="it was broken off"):
            await making
    arm_failpoints("")


@pytest.mark.requirement("DUR-5")
async def test_the_schedule_makes_one_at_once_then_by_age_and_keeps_the_newest(tmp_path: Path) -> None:
    async with serving(tmp_path, Schedule(interval=0.05, keep=2)) as served:
        await until(lambda: served.folder.entries())
        first = served.folder.entries()[-1].backup_id
        await until(lambda: first not in {each.backup_id for each in served.folder.entries()})
        await until(lambda: len(served.folder.entries()) == 2)
        assert {each.manifest.cause for each in served.folder.entries() if each.manifest} == {"schedule"}


@pytest.mark.requirement("DUR-5")
async def test_a_restart_makes_none_before_it_is_due_and_one_as_soon_as_it_is(tmp_path: Path) -> None:
    begun = 1_800_000_000.0
    for after, count in ((0, 1), (60, 1), (3599, 1), (3601, 2), (3700, 2)):
        now = begun + after
        async with serving(tmp_path, Schedule(interval=3600, keep=5), now=lambda now=now: now) as served:  # type: ignore[misc]
            await until(lambda now=now, served=served: (served.backups.next_time or now) > now)
            assert served.backups.next_time == begun + (3600 if count == 1 else 3601 + 3600)
            assert len(served.folder.entries()) == count


@pytest.mark.requirement("DUR-5")
async def test_a_clock_that_stepped_back_puts_the_next_one_off_by_one_interval_at_most(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.stub.CreateBackup(backup_pb2.CreateBackupRequest())
    made = BackupFolder(tmp_path / "backups").last_time()
    assert made is not None
    past = made - 1_000_000
    async with serving(tmp_path, Schedule(interval=3600, keep=2), now=lambda: past) as served:
        await until(lambda: served.backups.next_time is not None)
        assert served.backups.next_time == past + 3600


@pytest.mark.requirement("DUR-5")
async def test_a_backup_that_fails_is_shown_tried_again_and_harms_no_run(tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("no folder")
    async with serving(tmp_path, Schedule(interval=3600, keep=2), retry=0.02) as served:
        await until(lambda: served.backups.failure)
        listed = await served.stub.ListBackups(backup_pb2.ListBackupsRequest())
        assert "cannot be made" in listed.failure and listed.HasField("next_time")
        await served.store.accept_run(run(1))
        (tmp_path / "backups").unlink()
        await until(lambda: served.folder.entries() and not served.backups.failure)
        assert served.store.failure is None
