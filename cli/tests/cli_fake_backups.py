"""BackupService over real gRPC that keeps files in memory: the agent in the tests of `milepost backup`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import grpc

from milepost.agent.v1 import backup_pb2, backup_pb2_grpc

CONTENT = bytes(range(256)) * 5000
CHUNK = 400_000


class FakeBackups(backup_pb2_grpc.BackupServiceServicer):
    """`lie` alters what is downloaded; `dies` breaks a restore off, which is done all the same."""

    def __init__(self) -> None:
        self.backups: list[backup_pb2.Backup] = []
        self.files: dict[str, bytes] = {}
        self.epoch = 7
        self.failure = ""
        self.lie = b""
        self.dies = False
        self.restored: list[str] = []
        self.created: list[str] = []

    def keep(self, backup_id: str, content: bytes = CONTENT, cause: str = "request", damage: str = "") -> Any:
        backup = backup_pb2.Backup(
            backup_id=backup_id,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            cause=cause,
            epoch=self.epoch,
            last_sequence=123,
            runs=2,
            damage=damage,
        )
        backup.create_time.FromSeconds(1_800_000_000)
        self.backups.insert(0, backup)
        self.files[backup_id] = content
        return backup

    def CreateBackup(self, request: backup_pb2.CreateBackupRequest, context: Any) -> backup_pb2.CreateBackupResponse:
        self.created.append(request.backup_id)
        if self.failure:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, self.failure)
        return backup_pb2.CreateBackupResponse(backup=self.keep(request.backup_id))

    def ListBackups(self, request: backup_pb2.ListBackupsRequest, context: Any) -> backup_pb2.ListBackupsResponse:
        listed = backup_pb2.ListBackupsResponse(backups=self.backups, failure=self.failure)
        if self.failure:
            listed.next_time.FromSeconds(1_800_000_030)
        return listed

    def DownloadBackup(self, request: Any, context: Any) -> Iterator[backup_pb2.DownloadBackupResponse]:
        backup = next((one for one in self.backups if one.backup_id == request.backup_id), None)
        if backup is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no backup {request.backup_id}")
            return
        yield backup_pb2.DownloadBackupResponse(backup=backup)
        content = self.files[backup.backup_id] + self.lie
        for start in range(0, len(content), CHUNK):
            yield backup_pb2.DownloadBackupResponse(chunk=content[start : start + CHUNK])

    def UploadBackup(
        self, request_iterator: Iterator[backup_pb2.UploadBackupRequest], context: Any
    ) -> backup_pb2.UploadBackupResponse:
        announced = next(request_iterator).backup
        content = b"".join(part.chunk for part in request_iterator)
        if not content.startswith(CONTENT[:16]):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"backup {announced.backup_id}: file is not a database")
        assert (announced.size_bytes, announced.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        return backup_pb2.UploadBackupResponse(backup=self.keep(announced.backup_id, content, "upload"))

    def RestoreBackup(self, request: backup_pb2.RestoreBackupRequest, context: Any) -> Any:
        self.restored.append(request.backup_id)
        self.epoch += 1_000_001
        if self.dies:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return backup_pb2.RestoreBackupResponse(backup=self.backups[0])
