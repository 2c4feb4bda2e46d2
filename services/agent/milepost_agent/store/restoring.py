"""Going on from a backup: the file is set aside whole, a copy of the backup takes its place, its runs are marked."""

import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import apsw

from milepost_agent.errors import BackupDamaged, BackupNotFound, StoreCorrupt, StoreUnavailable
from milepost_agent.failpoints import failpoint
from milepost_agent.store import journal, runs
from milepost_agent.store.backup_folder import BackupFolder, copy_backup
from milepost_agent.store.database import Transaction
from milepost_agent.store.durable import discard, sync_file, sync_folder, write_durable
from milepost_agent.store.evidence import Evidence, boot_id
from milepost_agent.store.migrations import upgrade
from milepost_agent.store.owner import Ownership
from milepost_agent.store.records import ENDED, NewEvent
from milepost_agent.store.salvage import Salvaged, salvage

JUMP: Final = 1_000_000
"""How far epochs and sequence numbers go on beyond the highest that is known: none may be given out twice."""
PARTS: Final = ("", "-wal", "-shm", "-journal")
"""A database and what SQLite keeps beside it."""

_NOTE: Final = "README.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A restore that was begun or asked for, durable beside the database until it is done.

    `asked` by a person: then the runs go back to where they were, and nothing is taken over from the present file.
    """

    backup_id: str
    reason: str
    asked: bool
    set_aside: str
    """Folder below `quarantine/`."""


@dataclass(frozen=True)
class Restored:
    """What a restore did. `runs` is how many unfinished runs go on from the backup; see `Plan` for the others."""

    backup_id: str
    reason: str
    asked: bool
    set_aside: Path
    runs: int
    salvaged: Salvaged


def request(path: Path, backup_id: str, reason: str) -> None:
    """Asks for a restore at the next opening, durably. Raises OSError."""
    _write_plan(path, _new_plan(path, backup_id, reason, asked=True))


def restore_requested(path: Path, folder: BackupFolder, ownership: Ownership) -> Restored | None:
    """Does what was asked for, or what a kill cut off; None when there is nothing to do.

    A request whose backup no longer verifies is dropped, and the present file stays.

    Raises:
        StoreCorrupt: the file was set aside before, and no backup verifies now.
        StoreUnavailable: it cannot be written.
    """
    plan = _read_plan(path)
    if plan is None:
        return None
    try:
        folder.verify(plan.backup_id)
    except (BackupNotFound, BackupDamaged) as error:
        if not _note(path, plan).exists() and not _place(path, plan).exists():
            _log.error("no restore: %s", error)
            discard(_plan_file(path))
            return None
        newest = folder.newest_sound()
        if newest is None:
            raise StoreCorrupt(f"{path}: was set aside in {_place(path, plan)}, and {error}; none verifies") from error
        plan = replace(plan, backup_id=newest.backup_id)
    return _carry_out(path, plan, folder, ownership)


def restore_newest(path: Path, folder: BackupFolder, ownership: Ownership, damage: str) -> Restored | None:
    """Sets a damaged file aside and goes on from the newest backup of it that verifies; None when there is none.

    Raises:
        StoreUnavailable: it cannot be written.
    """
    evidence = ownership.evidence
    newest = folder.newest_sound(evidence.store_id if evidence else "")
    if newest is None:
        return None
    return _carry_out(path, _new_plan(path, newest.backup_id, damage, asked=False), folder, ownership)


def _carry_out(path: Path, plan: Plan, folder: BackupFolder, ownership: Ownership) -> Restored:
    """Every part of it can be cut off and done again."""
    _log.error("%s: %s; going on from backup %s", path, plan.reason, plan.backup_id)
    try:
        _write_plan(path, plan)
        failpoint("restore.planned")
        _set_aside(path, plan)
        failpoint("restore.set_aside")
        fresh = path.with_name(path.name + ".restoring")
        discard(*(fresh.with_name(fresh.name + part) for part in PARTS))
        copy_backup(folder, plan.backup_id, fresh)
        evidence, restored = _prepare(path, fresh, plan, folder, ownership.evidence)
        sync_file(fresh)
        failpoint("restore.prepared")
        fresh.replace(path)
        sync_folder(path.parent)
        failpoint("restore.replaced")
        ownership.record(evidence)
        discard(_plan_file(path))
        sync_folder(path.parent)
    except (OSError, apsw.Error) as error:
        raise StoreUnavailable(f"{path}: backup {plan.backup_id} cannot be restored: {error}") from error
    _log.warning(
        "backup %s restored: %d runs go on from it; taken over: %s; the former file is in %s",
        plan.backup_id, restored.runs, asdict(restored.salvaged), restored.set_aside,
    )  # fmt: skip
    return restored


def _set_aside(path: Path, plan: Plan) -> None:
    """Moves the file with all its parts; the note says that this is done."""
    if _note(path, plan).exists():
        return
    place = _place(path, plan)
    place.mkdir(parents=True, exist_ok=True)
    sync_folder(place.parent.parent)
    sync_folder(place.parent)
    for part in reversed(PARTS):
        file = path.with_name(path.name + part)
        if file.exists():
            file.replace(place / file.name)
        failpoint("restore.part_moved")
    sync_folder(place)
    sync_folder(path.parent)
    note = {
        "what": "A file of runs that was set aside. Nothing uses it; remove the folder when you no longer need it.",
        "reason": plan.reason,
        "restored_from": plan.backup_id,
        "files": {file.name: file.stat().st_size for file in sorted(place.iterdir())},
    }
    write_durable(_note(path, plan), json.dumps(note, indent=2) + "\n")


def _prepare(
    path: Path, fresh: Path, plan: Plan, folder: BackupFolder, previous: Evidence | None
) -> tuple[Evidence, Restored]:
    """Brings a copy of the backup to where the next owner can begin."""
    connection = apsw.Connection(str(fresh))
    try:
        connection.pragma("synchronous", "off")
        with connection:
            upgrade(connection)
        salvaged, taken = Salvaged(), set[str]()
        if not plan.asked:
            scratch = path.with_name(path.name + ".salvage")
            salvaged, taken = salvage(_place(path, plan) / path.name, connection, scratch)
        with connection:
            epoch = _jump(connection, folder, previous)
            runs = _mark(Transaction(connection, time.time()), plan, salvaged, taken)
        store_id = str(connection.execute("SELECT value FROM meta WHERE key = 'store_id'").get or "")
        connection.pragma("journal_mode", "delete")
    finally:
        connection.close()
    evidence = Evidence(store_id, epoch, clean=True, full=True, boot=boot_id())
    return evidence, Restored(plan.backup_id, plan.reason, plan.asked, _place(path, plan), runs, salvaged)


def _jump(connection: apsw.Connection, folder: BackupFolder, previous: Evidence | None) -> int:
    """Puts epoch and event numbers beyond all that can have been given out; returns the epoch."""
    known = [backup.manifest.epoch for backup in folder.entries() if backup.manifest is not None]
    stored = int(connection.execute("SELECT value FROM meta WHERE key = 'epoch'").get or 0)
    epoch = max(stored, previous.epoch if previous else 0, *known) + JUMP
    connection.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (str(epoch),))
    sequence = int(connection.execute("SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'journal'").get)
    highest = max(sequence, previous.mark.events if previous else 0) + JUMP
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'journal'")
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('journal', ?)", (highest,))
    return epoch


def _mark(transaction: Transaction, plan: Plan, salvaged: Salvaged, taken: set[str]) -> int:
    """Marks every run that is not over, and those that were taken over; returns how many go on."""
    rows = transaction.execute("SELECT run_id FROM runs WHERE state != ?", (ENDED,)).fetchall()
    going_on = {str(run_id) for (run_id,) in rows}
    data = {
        "backup_id": plan.backup_id,
        "reason": plan.reason,
        "asked": plan.asked,
        "salvaged_runs": salvaged.runs,
        "salvaged_calls": salvaged.calls,
        "salvaged_messages": salvaged.messages,
    }
    for run_id in sorted(going_on | taken):
        update = "UPDATE runs SET restored_from = ?, crashes = 0 WHERE run_id = ?"
        transaction.execute(update, (plan.backup_id, run_id))
        over = "SELECT 1 FROM journal WHERE run_id = ? AND type = 'RunCompleted'"
        if run_id not in going_on and transaction.execute(over, (run_id,)).get is not None:
            continue
        run = runs.get(transaction.connection, run_id)
        assert run is not None
        # The first and the last event of a run are never missing, though their pages may not have been readable.
        events = [runs.accepted_event(run), NewEvent("RunRestored", data=data | {"salvaged": run_id in taken})]
        if run.state == ENDED:
            end = {"outcome": run.outcome, "reason": run.reason, "result": run.result}
            events.append(NewEvent("RunCompleted", data=end))
        journal.append(transaction, run_id, run.correlation_id, events)
    return len(going_on)


def _new_plan(path: Path, backup_id: str, reason: str, *, asked: bool) -> Plan:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name, number = stamp, 1
    while (path.parent / "quarantine" / name).exists():
        number += 1
        name = f"{stamp}-{number}"
    return Plan(backup_id, reason, asked, name)


def _plan_file(path: Path) -> Path:
    return path.with_name(path.name + ".restore")


def _write_plan(path: Path, plan: Plan) -> None:
    write_durable(_plan_file(path), json.dumps(asdict(plan)) + "\n")


def _read_plan(path: Path) -> Plan | None:
    file = _plan_file(path)
    try:
        return Plan(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, OSError) as error:
        raise StoreUnavailable(f"{file}: cannot be read: {error}; remove it to start without a restore") from error


def _place(path: Path, plan: Plan) -> Path:
    return path.parent / "quarantine" / plan.set_aside


def _note(path: Path, plan: Plan) -> Path:
    return _place(path, plan) / _NOTE
