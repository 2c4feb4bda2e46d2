"""`milepost restore`: has an agent go on from a backup of its own, or from one that is uploaded."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc

from milepost.agent.v1 import backup_pb2
from milepost_cli.backend import Backend
from milepost_cli.backups import chosen, listing, new_id, progress, summary
from milepost_cli.client import LASTING, Agent, is_away, refusal
from milepost_cli.errors import AgentError, UsageError
from milepost_cli.views import write_json, write_line
from milepost_service.json_form import local_time, to_json

CHUNK = 512 * 1024
PATIENCE = 120.0  # seconds that an agent may take to come back when it was cut off in the middle
ASK_EVERY = 0.2


def restore(
    backend: Backend, workflow: str, pod: str | None, backup_id: str, file: Path | None, *, sure: bool, as_json: bool
) -> int:
    """Goes on from a backup: the one of this id, or of this file, or the newest that is sound."""
    agents = chosen(backend, workflow, pod)
    if len(agents) > 1:
        names = ", ".join(agent.name for agent in agents)
        raise UsageError(
            f"workflow {workflow}: {len(agents)} pods have runs of their own; allowed: --pod with one of {names}"
        )
    agent = agents[0]
    if not sure and not sys.stdin.isatty():
        raise UsageError("--yes: is needed where nobody can be asked")
    backup = _upload(agent, file) if file is not None else _listed(agent, backup_id)
    if not sure and not _agreed(agent, backup):
        write_line("nothing was changed")
        return 1
    epoch = _carry_out(agent, backup.backup_id)
    if as_json:
        write_json({"backup": to_json(backup), "epoch": epoch})
    else:
        write_line(f"{agent.name} goes on from backup {backup.backup_id}: {summary(backup)}")
        write_line(f"  milepost get runs{backend.option}")
    return 0


def _listed(agent: Agent, backup_id: str) -> backup_pb2.Backup:
    """The backup of this id, or the newest that can be used. Raises AgentError."""
    answer = listing(agent)
    sound = [backup for backup in answer.backups if not backup.damage]
    if not backup_id:
        if not sound:
            raise AgentError(f"{agent.name} has no backup that can be used; milepost backup makes one")
        return sound[0]
    for backup in answer.backups:
        if backup.backup_id == backup_id:
            if backup.damage:
                raise AgentError(f"backup {backup_id} cannot be used: {backup.damage}")
            return backup
    allowed = ", ".join(backup.backup_id for backup in sound) or "none"
    raise AgentError(f"{agent.name} has no backup {backup_id}; allowed: {allowed}")


def _agreed(agent: Agent, backup: backup_pb2.Backup) -> bool:
    made = local_time(backup.create_time)
    sys.stderr.write(
        f"{agent.name} would go on from backup {backup.backup_id} of {made:%Y-%m-%d %H:%M:%S} ({summary(backup)}).\n"
        "What runs did since then is set aside with the present file, not deleted.\n"
        "Restore? [y/N] "
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _carry_out(agent: Agent, backup_id: str) -> int:
    """Has it done once, and returns the new epoch. A second request would set aside what came after the first."""
    before = agent.describe().epoch
    with progress(f"{agent.name}: restoring {backup_id}"):
        try:
            request = backup_pb2.RestoreBackupRequest(backup_id=backup_id)
            agent.backups.RestoreBackup(request, timeout=LASTING)
        except grpc.RpcError as error:
            if not is_away(error):
                raise refusal(error) from error
            said = str(refusal(error))
            return _epoch_after(agent, before, said)
    return agent.describe().epoch


def _epoch_after(agent: Agent, before: int, said: str) -> int:
    """Waits for an agent that was cut off amid a restore, which its next start does."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        epoch = agent.describe().epoch
        if epoch > before + 1:
            return epoch
        if epoch == before + 1:
            break
        time.sleep(ASK_EVERY)
    raise AgentError(f"{agent.name} was not restored: {said}")


def _upload(agent: Agent, file: Path) -> backup_pb2.Backup:
    """Hands a file over, to be verified and kept. Raises UsageError, AgentError."""
    try:
        size = file.stat().st_size
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"--from {file}: cannot be read: {error.strerror}") from error
    if not size:
        raise UsageError(f"--from {file}: is empty; allowed: a backup")
    announced = backup_pb2.Backup(backup_id=_id_of(agent, file), size_bytes=size, sha256=digest)
    try:
        with progress(f"{agent.name}: uploading", size) as tell:
            return agent.backups.UploadBackup(_parts(announced, file, tell), timeout=LASTING).backup
    except grpc.RpcError as error:
        raise AgentError(f"--from {file}: {refusal(error)}") from error


def _parts(
    announced: backup_pb2.Backup, file: Path, tell: Callable[[int], None]
) -> Iterator[backup_pb2.UploadBackupRequest]:
    yield backup_pb2.UploadBackupRequest(backup=announced)
    done = 0
    with file.open("rb") as content:
        while chunk := content.read(CHUNK):
            yield backup_pb2.UploadBackupRequest(chunk=chunk)
            done += len(chunk)
            tell(done)


def _id_of(agent: Agent, file: Path) -> str:
    """The id that the name of the file tells, or a new one."""
    stamp, dash, epoch = file.stem.partition("-")
    try:
        datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return new_id(agent)
    return file.stem if dash and epoch.isdigit() else new_id(agent)
