"""BackupService over gRPC: makes, lists, hands out, takes in and restores backups."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import grpc.aio

from milepost.agent.v1 import backup_pb2, backup_pb2_grpc
from milepost_agent.backups import Backups
from milepost_agent.conversion import timestamp
from milepost_agent.store import (
    Backup,
    BackupConflict,
    BackupDamaged,
    BackupFailed,
    BackupNotFound,
    Manifest,
    StoreError,
    is_backup_id,
    require_room,
)
from milepost_service.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)

Context = grpc.aio.ServicerContext[object, object]

CHUNK_BYTES: Final = 512 * 1024


@contextmanager
def status() -> Iterator[None]:
    """Errors of backups as gRPC statuses."""
    try:
        yield
    except BackupNotFound as error:
        raise NotFoundError(str(error)) from None
    except BackupDamaged as error:
        raise FailedPreconditionError(str(error)) from None
    except BackupConflict as error:
        raise AlreadyExistsError(str(error)) from None
    except BackupFailed as error:
        raise ResourceExhaustedError(str(error)) from None
    except StoreError as error:
        raise UnavailableError(str(error)) from None


class BackupServicer(backup_pb2_grpc.BackupServiceServicer):
    """Backups of one agent."""

    def __init__(self, backups: Backups) -> None:
        self._backups = backups

    async def CreateBackup(
        self, request: backup_pb2.CreateBackupRequest, context: Context
    ) -> backup_pb2.CreateBackupResponse:
        if request.backup_id:
            _check_id("backup_id", request.backup_id)
        with status():
            made, existing = await self._backups.create(request.backup_id)
        return backup_pb2.CreateBackupResponse(backup=manifest_message(made), existing=existing)

    async def ListBackups(
        self, request: backup_pb2.ListBackupsRequest, context: Context
    ) -> backup_pb2.ListBackupsResponse:
        listed = backup_pb2.ListBackupsResponse(
            backups=[backup_message(each) for each in await self._backups.entries()], failure=self._backups.failure
        )
        if self._backups.next_time is not None:
            listed.next_time.CopyFrom(timestamp(self._backups.next_time))
        return listed

    async def DownloadBackup(
        self, request: backup_pb2.DownloadBackupRequest, context: Context
    ) -> AsyncIterator[backup_pb2.DownloadBackupResponse]:
        _check_id("backup_id", request.backup_id)
        with status():
            found = await self._backups.find(request.backup_id)
            if found.damage:
                raise BackupDamaged(f"backup {found.backup_id}: {found.damage}")
            file = await asyncio.to_thread(_open, found.file)
        with file:
            yield backup_pb2.DownloadBackupResponse(backup=backup_message(found))
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield backup_pb2.DownloadBackupResponse(chunk=chunk)

    async def UploadBackup(
        self, request_iterator: AsyncIterator[backup_pb2.UploadBackupRequest], context: Context
    ) -> backup_pb2.UploadBackupResponse:
        announced = await _announced(request_iterator)
        with status():
            partial = await self._backups.begin_upload(announced.backup_id)
            try:
                await _receive(request_iterator, partial, announced.size_bytes)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
            created = announced.create_time.ToMicroseconds() / 1e6 if announced.HasField("create_time") else 0.0
            kept = await self._backups.accept(partial, announced.backup_id, announced.sha256, created)
        return backup_pb2.UploadBackupResponse(backup=manifest_message(kept))

    async def RestoreBackup(
        self, request: backup_pb2.RestoreBackupRequest, context: Context
    ) -> backup_pb2.RestoreBackupResponse:
        if request.backup_id:
            _check_id("backup_id", request.backup_id)
        with status():
            found = await self._backups.restore(request.backup_id)
        return backup_pb2.RestoreBackupResponse(backup=manifest_message(found))


def backup_message(backup: Backup) -> backup_pb2.Backup:
    """A backup as it lies there; of one whose manifest cannot be read, the id and the damage."""
    if backup.manifest is None:
        return backup_pb2.Backup(backup_id=backup.backup_id, damage=backup.damage)
    return manifest_message(backup.manifest, backup.damage)


def manifest_message(manifest: Manifest, damage: str = "") -> backup_pb2.Backup:
    return backup_pb2.Backup(
        backup_id=manifest.backup_id,
        create_time=timestamp(manifest.create_time),
        size_bytes=manifest.size_bytes,
        sha256=manifest.sha256,
        cause=manifest.cause,
        epoch=manifest.epoch,
        last_sequence=manifest.last_sequence,
        runs=manifest.runs,
        damage=damage,
    )


async def _announced(parts: AsyncIterator[backup_pb2.UploadBackupRequest]) -> backup_pb2.Backup:
    first = await anext(parts, None)
    if first is None or first.WhichOneof("part") != "backup":
        raise InvalidArgumentError("backup: is not there; the first part must be the backup, then come its chunks")
    _check_id("backup.backup_id", first.backup.backup_id)
    if first.backup.size_bytes <= 0:
        raise InvalidArgumentError(f"backup.size_bytes: {first.backup.size_bytes} is out of range; allowed: 1 or more")
    return first.backup


async def _receive(parts: AsyncIterator[backup_pb2.UploadBackupRequest], file: Path, size: int) -> None:
    """Writes the chunks; refuses another number of bytes than was announced, before it takes the disk."""
    received = 0
    opened = await asyncio.to_thread(_create, file, size)
    with opened:
        async for part in parts:
            received += len(part.chunk)
            if received > size:
                break
            await asyncio.to_thread(_write, opened, part.chunk)
    if received != size:
        more = "more than" if received > size else f"{received:,} of"
        raise InvalidArgumentError(f"chunk: {more} {size:,} bytes came; allowed: backup.size_bytes")


def _open(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise BackupNotFound(f"there is no backup {file.stem} any more: {error.strerror}") from error


def _create(file: Path, size: int) -> BinaryIO:
    try:
        require_room(file.parent, size)
        return file.open("wb")
    except OSError as error:
        raise BackupFailed(f"{file.parent}: cannot be written: {error.strerror}") from error


def _write(file: BinaryIO, chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise BackupFailed(f"{file.name}: cannot be written: {error.strerror}") from error


def _check_id(field: str, backup_id: str) -> None:
    if not is_backup_id(backup_id):
        raise InvalidArgumentError(f"{field}: {backup_id!r} is no backup id; allowed: like 20261125T194500Z-7")
