"""`milepost backup`: makes, lists and downloads backups."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc

from milepost.agent.v1 import backup_pb2
from milepost_cli.backend import Backend
from milepost_cli.client import LASTING, Agent, refusal
from milepost_cli.errors import AgentError, NotFoundError, UsageError
from milepost_cli.views import write_json, write_line, write_note
from milepost_service.json_form import iso, local_time, to_json

REFRESH = 0.1  # seconds between two lines of progress
MEBI = 2**20


def chosen(backend: Backend, workflow: str, pod: str | None) -> list[Agent]:
    """The agents of a workflow, or the one in the pod that is named. Raises NotFoundError."""
    agents = list(backend.serving(workflow))
    if pod is None:
        return agents
    found = [agent for agent in agents if _pod(agent) == pod]
    if not found:
        names = ", ".join(agent.name for agent in agents if agent.name != agent.workflow)
        raise NotFoundError(
            f"--pod {pod}: workflow {workflow} has no such pod; allowed: {names or 'none, in local mode'}"
        )
    return found


def create(agents: Sequence[Agent], *, to: Path | None, as_json: bool) -> int:
    """A backup of each agent, verified; with `to`, downloaded too."""
    if to is not None and len(agents) > 1:
        names = ", ".join(agent.name for agent in agents)
        raise UsageError(f"--to: {len(agents)} pods have runs of their own; allowed: --pod with one of {names}")
    forms = []
    for agent in agents:
        # The id is made here, so that a request that is sent again stays one backup.
        request = backup_pb2.CreateBackupRequest(backup_id=new_id(agent))
        with progress(f"{agent.name}: making a backup"):
            answer = agent.lasting_call(agent.backups.CreateBackup, request)
        backup = answer.backup
        file = download(agent, backup.backup_id, to) if to is not None else None
        forms.append({**_form(agent, backup), **({"file": str(file)} if file else {})})
        if not as_json:
            existing = ", was there already" if answer.existing else ""
            write_line(f"backup {backup.backup_id} of {agent.name}: {summary(backup)}{existing}")
            if file:
                write_line(f"  downloaded to {file}, sha256 {backup.sha256}")
    if as_json:
        write_json({"backups": forms})
    return 0


def listing(agent: Agent) -> backup_pb2.ListBackupsResponse:
    """The backups of one agent, newest first, and how its schedule does."""
    return agent.lasting_call(agent.backups.ListBackups, backup_pb2.ListBackupsRequest())


def show(agents: Sequence[Agent], *, as_json: bool) -> int:
    """The backups of all agents, and how their schedules do."""
    listed = [(agent, listing(agent)) for agent in agents]
    if as_json:
        write_json(
            {
                "backups": [_form(agent, backup) for agent, answer in listed for backup in answer.backups],
                "schedules": [_schedule(agent, answer) for agent, answer in listed],
            }
        )
        return 0
    rows = [(_pod(agent), backup) for agent, answer in listed for backup in answer.backups]
    if rows:
        from milepost_cli.pages import backups_table, page  # noqa: PLC0415 - rich is only paid for where it shows

        with page() as out:
            out.print(backups_table(rows))
    else:
        write_line("no backups yet")
    for agent, answer in listed:
        if answer.failure:
            write_note(f"{agent.name}: the last attempt of the schedule made none: {answer.failure}")
        if answer.HasField("next_time"):
            write_line(f"{agent.name}: the next is due at {local_time(answer.next_time):%Y-%m-%d %H:%M:%S}")
        else:
            write_line(f"{agent.name}: none is scheduled; spec.checkpoint.backup does that")
    return 0


def download(agent: Agent, backup_id: str, to: Path) -> Path:
    """The file of a backup, compared with its checksum before it has its name. Raises UsageError, AgentError."""
    target = to / f"{backup_id}.db" if to.is_dir() else to
    if target.exists():
        raise UsageError(f"--to {target}: exists already; allowed: a new file, or a folder")
    partial = target.with_name(target.name + ".partial")
    try:
        backup, digest = _receive(agent, backup_id, partial)
        if digest != backup.sha256:
            raise AgentError(f"{target}: sha256 is {digest}; {backup.sha256} was expected; nothing was kept")
        partial.replace(target)
    except OSError as error:
        raise UsageError(f"--to {target}: cannot be written: {error.strerror}") from error
    except grpc.RpcError as error:
        raise refusal(error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return target


def new_id(agent: Agent) -> str:
    """An id that no backup has yet, from the time and the epoch of the agent."""
    when, epoch = datetime.now(UTC), agent.describe().epoch
    taken = {backup.backup_id for backup in listing(agent).backups}
    while (backup_id := f"{when:%Y%m%dT%H%M%SZ}-{epoch}") in taken:
        when += timedelta(seconds=1)
    return backup_id


def summary(backup: backup_pb2.Backup) -> str:
    runs = f"{backup.runs} run" + ("s" if backup.runs != 1 else "")
    return f"{runs}, {backup.size_bytes / MEBI:.1f} MiB, verified"


@contextlib.contextmanager
def progress(text: str, size: int = 0) -> Iterator[Callable[[int], None]]:
    """Yields what is told how many bytes are done; only a terminal shows it."""
    terminal = sys.stderr.isatty()
    shown = 0.0

    def tell(done: int) -> None:
        nonlocal shown
        if terminal and time.monotonic() - shown > REFRESH:
            shown = time.monotonic()
            sys.stderr.write(f"\r{text} {done / MEBI:.1f} of {size / MEBI:.1f} MiB\x1b[K")
            sys.stderr.flush()

    if terminal:
        sys.stderr.write(f"{text} …")
        sys.stderr.flush()
    try:
        yield tell
    finally:
        if terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _receive(agent: Agent, backup_id: str, file: Path) -> tuple[backup_pb2.Backup, str]:
    request = backup_pb2.DownloadBackupRequest(backup_id=backup_id)
    parts = agent.backups.DownloadBackup(request, timeout=LASTING)
    backup = next(parts).backup
    digest, done = hashlib.sha256(), 0
    with file.open("wb") as out, progress(f"{agent.name}: downloading", backup.size_bytes) as tell:
        for part in parts:
            out.write(part.chunk)
            digest.update(part.chunk)
            done += len(part.chunk)
            tell(done)
        out.flush()
        os.fsync(out.fileno())
    return backup, digest.hexdigest()


def _form(agent: Agent, backup: backup_pb2.Backup) -> dict[str, Any]:
    return {**({"pod": _pod(agent)} if _pod(agent) else {}), **to_json(backup)}


def _schedule(agent: Agent, answer: backup_pb2.ListBackupsResponse) -> dict[str, Any]:
    due = iso(answer.next_time) if answer.HasField("next_time") else None
    return {"agent": agent.name, "next_time": due, "failure": answer.failure}


def _pod(agent: Agent) -> str:
    return agent.name if agent.name != agent.workflow else ""
