"""What a damaged file still tells: runs, answers and messages younger than the backup, taken over row by row."""

import contextlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from milepost_agent.store.durable import discard
from milepost_agent.store.migrations import tables
from milepost_agent.store.records import ACCEPTED, ENDED, RUNNING, WAITING

_log = logging.getLogger(__name__)

_PAGE_ONE: Final = 4096
_THREAD: Final = ("checkpoints", "writes", "checkpoint_order")
_OF_RUN: Final = ("ledger", "messages", "journal", "requests")
_STATES: Final = (ACCEPTED, RUNNING, WAITING, ENDED)
_KEYS: Final = "SELECT rowid FROM {table} WHERE {where} ORDER BY rowid"
_JSON: Final = {"journal": "data", "runs": "pending"}
_NUMBERED: Final = {"runs": "number", "messages": "sequence", "checkpoint_order": "sequence"}
# What the graph's state holds too: without its checkpoints a run begins with its prompt, so these begin anew.
_AS_ACCEPTED: Final = {"state": "accepted", "current_step": "", "current_cycle": 0, "pending": None, "paused": None}


@dataclass
class Salvaged:
    """How much was taken over; `damage` is what ended or limited the reading."""

    runs: int = 0
    calls: int = 0
    messages: int = 0
    checkpoints: int = 0
    events: int = 0
    damage: str = ""


def salvage(damaged: Path, into: apsw.Connection, scratch: Path) -> tuple[Salvaged, set[str]]:
    """Takes over what is readable in `damaged` and missing in `into`, which is in no transaction.

    Runs that `into` does not know are added, those that it has unfinished are brought up to date. A run whose
    checkpoints cannot all be read keeps those of `into`, or begins with its prompt; its recorded answers are taken
    over all the same. Never raises for what it finds in `damaged`, which stays as it is.

    Args:
        damaged: A database, with its log beside it if there is one.
        scratch: Where a copy may lie meanwhile, when the first page cannot be read.

    Returns:
        The counts, and the ids of the runs that were taken over or brought up to date.
    """
    salvaged = Salvaged()
    taken: set[str] = set()
    try:
        with _reading(damaged, into, scratch) as source:
            _take_workflows(source, into)
            for row in _runs(source, into):
                with contextlib.suppress(apsw.Error, ValueError, KeyError):
                    if _take_run(source, into, row, salvaged):
                        taken.add(str(row["run_id"]))
    except (apsw.Error, OSError, ValueError) as error:
        salvaged.damage = str(error).splitlines()[0] if str(error) else type(error).__name__
        _log.warning("%s: not all could be read: %s", damaged, salvaged.damage)
    return salvaged, taken


@contextlib.contextmanager
def _reading(damaged: Path, into: apsw.Connection, scratch: Path) -> Iterator[apsw.Connection]:
    """The damaged file, or a copy with the first page of `into` where its own cannot be read."""
    try:
        # Beside a file without content SQLite would remove the log.
        if not damaged.stat().st_size:
            raise apsw.CorruptError("the file is empty")
        source = _open(damaged)
    except apsw.Error:
        wal = damaged.with_name(damaged.name + "-wal")
        _copy_with_first_page(damaged, Path(into.filename), scratch)
        if wal.exists():
            shutil.copyfile(wal, scratch.with_name(scratch.name + "-wal"))
        source = _open(scratch)
    try:
        yield source
    finally:
        source.close()
        discard(*(scratch.with_name(scratch.name + suffix) for suffix in ("", "-wal", "-shm")))


def _open(file: Path) -> apsw.Connection:
    source = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        source.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        if "runs" not in tables(source):
            raise apsw.CorruptError("the list of its tables cannot be read")
        source.execute("SELECT run_id FROM runs LIMIT 1").fetchall()
    except apsw.Error:
        source.close()
        raise
    return source


def _copy_with_first_page(damaged: Path, sound: Path, scratch: Path) -> None:
    """The schema is the same in both, so the tables begin on the same pages; only the size is the file's own."""
    with sound.open("rb") as file:
        page = bytearray(file.read(_PAGE_ONE))
    shutil.copyfile(damaged, scratch)
    size = int.from_bytes(page[16:18], "big")
    if size != _PAGE_ONE:
        raise ValueError(f"pages of {size} bytes")
    page[28:32] = max(1, damaged.stat().st_size // size).to_bytes(4, "big")
    page[92:96] = page[24:28]
    with scratch.open("r+b") as file:
        file.write(page)


def _runs(source: apsw.Connection, into: apsw.Connection) -> Iterator[dict[str, Any]]:
    """Rows of runs that `into` lacks or has unfinished, oldest first as far as they can be read."""
    known = {str(run_id): str(state) for run_id, state in into.execute("SELECT run_id, state FROM runs")}
    for row in _readable(source, "runs"):
        if row["state"] in _STATES and known.get(str(row["run_id"])) != ENDED:
            yield row


def _readable(source: apsw.Connection, table: str, where: str = "TRUE", *parameters: Any) -> Iterator[dict[str, Any]]:
    """Rows that can be read. Each is fetched by itself, because one that cannot be decoded ends a query."""
    for key in _keys(source, table, where, *parameters):
        with contextlib.suppress(apsw.Error, ValueError):
            row = _row(source, table, key)
            _check_json(table, row)
            yield row


def _keys(source: apsw.Connection, table: str, where: str, *parameters: Any) -> list[int]:
    """Row numbers up to the first page that cannot be read, and those after the last such page; in order."""
    first: list[int] = []
    rest: list[int] = []
    query = _KEYS.format(table=table, where=where)
    try:
        for (key,) in source.execute(query, parameters):
            first.append(key)
    except apsw.Error:
        with contextlib.suppress(apsw.Error):
            for (key,) in source.execute(f"{query} DESC", parameters):
                if first and key <= first[-1]:
                    break
                rest.append(key)
    return first + rest[::-1]


def _row(source: apsw.Connection, table: str, key: int) -> dict[str, Any]:
    """Raises apsw.Error or ValueError when it cannot be read."""
    cursor = source.cursor()
    cursor.execute(f"SELECT * FROM {table} WHERE rowid = ?", (key,))
    names = [column[0] for column in cursor.get_description()]
    return dict(zip(names, next(iter(cursor)), strict=True))


def _take_run(source: apsw.Connection, into: apsw.Connection, row: dict[str, Any], salvaged: Salvaged) -> bool:
    """True when anything was taken over for this run."""
    run_id = str(row["run_id"])
    before = into.total_changes()
    added = into.execute("SELECT 1 FROM runs WHERE run_id = ?", (run_id,)).get is None
    with into:
        checkpoints = _take_thread(source, into, run_id)
        if checkpoints is None and added and row["state"] != ENDED:
            row = row | _AS_ACCEPTED | {"remaining_hops": row["max_hops"]}
        if added:
            _insert(into, "runs", row)
        elif checkpoints is not None or row["state"] == ENDED:
            _update_run(into, row)
        counts = {table: _take_rows(source, into, table, run_id) for table in _OF_RUN}
    salvaged.runs += added
    salvaged.checkpoints += checkpoints or 0
    salvaged.calls += counts["ledger"]
    salvaged.messages += counts["messages"]
    salvaged.events += counts["journal"]
    return added or into.total_changes() > before


def _take_thread(source: apsw.Connection, into: apsw.Connection, run_id: str) -> int | None:
    """All checkpoints of a run or none: how many are new, or None when not all can be read or there are none."""
    serde = JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        for table in _THREAD:
            keys: list[tuple[Any, ...]] = source.execute(
                _KEYS.format(table=table, where="thread_id = ?"), (run_id,)
            ).fetchall()
            found[table] = [_row(source, table, key) for (key,) in keys]
        for checkpoint in found["checkpoints"]:
            serde.loads_typed((checkpoint["type"], checkpoint["checkpoint"]))
            json.loads(checkpoint["metadata"])
        for write in found["writes"]:
            serde.loads_typed((write["type"], write["value"]))
    except Exception as error:  # whatever a decoder makes of damaged bytes
        _log.warning("run %s: its checkpoints cannot be read: %s", run_id, error)
        return None
    if len(found["checkpoints"]) != len(found["checkpoint_order"]) or not found["checkpoints"]:
        return None
    added = {table: sum(_insert(into, table, row) for row in rows) for table, rows in found.items()}
    return added["checkpoints"]


def _take_rows(source: apsw.Connection, into: apsw.Connection, table: str, run_id: str) -> int:
    rows = [row for row in _readable(source, table, "run_id = ?", run_id) if row["run_id"] == run_id]
    return sum(_insert(into, table, row) for row in rows)


def _take_workflows(source: apsw.Connection, into: apsw.Connection) -> None:
    for row in _readable(source, "workflows"):
        _insert(into, "workflows", row)


def _check_json(table: str, row: dict[str, Any]) -> None:
    """Raises ValueError for a text that the store could not read again."""
    text = row.get(_JSON.get(table, ""))
    if text is not None:
        json.loads(text)


def _columns(into: apsw.Connection, table: str) -> Sequence[str]:
    return [str(row[1]) for row in into.execute(f"PRAGMA table_info({table})")]


def _insert(into: apsw.Connection, table: str, row: dict[str, Any]) -> int:
    """1 when the row was not there. One whose number is taken by another gets the next."""
    for left_out in (None, *((_NUMBERED[table],) if table in _NUMBERED else ())):
        known = [name for name in _columns(into, table) if name in row and name != left_out]
        marks = ", ".join("?" * len(known))
        query = f"INSERT OR IGNORE INTO {table} ({', '.join(known)}) VALUES ({marks})"
        into.execute(query, [row[name] for name in known])
        if into.changes():
            return 1
    return 0


def _update_run(into: apsw.Connection, row: dict[str, Any]) -> None:
    names = [name for name in _columns(into, "runs") if name in row and name not in ("number", "run_id")]
    assignments = ", ".join(f"{name} = ?" for name in names)
    into.execute(f"UPDATE runs SET {assignments} WHERE run_id = ?", [*(row[name] for name in names), row["run_id"]])
