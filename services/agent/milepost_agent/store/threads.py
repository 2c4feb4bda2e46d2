"""LangGraph's rows of a thread: reading them in our order, pruning, copying and deleting them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import apsw
from langgraph.checkpoint.base import writes_sort_key

from milepost_agent.store.database import Transaction


class StoredWrite(NamedTuple):
    task_id: str
    channel: str
    type: str
    value: bytes


class StoredCheckpoint(NamedTuple):
    """A row of `checkpoints` with its pending writes in the order in which LangGraph applies them."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    parent_checkpoint_id: str | None
    type: str
    checkpoint: bytes
    metadata: bytes | None
    writes: list[StoredWrite]


_TABLES: Final = ("checkpoints", "writes", "checkpoint_order")
_KEY: Final = "thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
_ROWS: Final = """
SELECT c.thread_id, c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id, c.type, c.checkpoint, c.metadata
FROM checkpoint_order AS o JOIN checkpoints AS c USING (thread_id, checkpoint_ns, checkpoint_id)
"""
_WRITE: Final = """
INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_KEEP_WRITE: Final = f"INSERT OR IGNORE {_WRITE}"
_REPLACE_WRITE: Final = f"INSERT OR REPLACE {_WRITE}"
_PUT: Final = """
INSERT OR REPLACE INTO checkpoints
    (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_ORDER: Final = """
INSERT INTO checkpoint_order (thread_id, checkpoint_ns, checkpoint_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING
"""
# DeltaChannel rebuilds a value from the writes of its ancestors, so such a thread keeps all of them.
_IS_SPREAD: Final = "json_extract(CAST(c.metadata AS TEXT), '$.counters_since_delta_snapshot') IS NOT NULL"
_OUTDATED: Final = f"""
SELECT checkpoint_ns, checkpoint_id FROM checkpoint_order AS o
WHERE thread_id = ?1
  AND sequence < (SELECT MAX(sequence) FROM checkpoint_order AS l
                  WHERE l.thread_id = o.thread_id AND l.checkpoint_ns = o.checkpoint_ns)
  AND NOT EXISTS (SELECT 1 FROM checkpoints AS c
                  WHERE c.thread_id = ?1 AND c.checkpoint_ns = o.checkpoint_ns
                    AND {_IS_SPREAD})
"""
_PLACED: Final = f"""
SELECT o.sequence, o.thread_id, o.checkpoint_ns, o.checkpoint_id,
    EXISTS (SELECT 1 FROM runs WHERE run_id = o.thread_id)
    AND EXISTS (SELECT 1 FROM checkpoint_order AS l
        WHERE l.thread_id = o.thread_id AND l.checkpoint_ns = o.checkpoint_ns AND l.sequence > o.sequence)
    AND NOT EXISTS (SELECT 1 FROM checkpoints AS c
        WHERE c.thread_id = o.thread_id AND c.checkpoint_ns = o.checkpoint_ns AND {_IS_SPREAD})
FROM checkpoint_order AS o WHERE o.sequence > ? ORDER BY o.sequence LIMIT ?
"""
_OLDER: Final = """
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id IN (
    SELECT checkpoint_id FROM checkpoint_order WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND sequence < (
        SELECT MAX(sequence) FROM checkpoint_order WHERE thread_id = ?1 AND checkpoint_ns = ?2))
"""
_DROP_OLDER: Final = tuple(f"DELETE FROM {table} {_OLDER}" for table in ("writes", "checkpoints", "checkpoint_order"))
_DROP_KNOWN: Final = tuple(
    f"DELETE FROM {table} WHERE {_KEY}" for table in ("writes", "checkpoints", "checkpoint_order")
)
# A checkpoint may come after its writes in the same batch, and be outdated by the next: so in this order.
_APPENDED: Final = {
    statement: rank for rank, statement in enumerate((_KEEP_WRITE, _PUT, _ORDER, *_DROP_OLDER, *_DROP_KNOWN))
}


def put(transaction: Transaction, row: tuple[Any, ...], *, instead: bool, known: Sequence[str] | None = None) -> None:
    """Appends a checkpoint, (thread, namespace, id, parent, type, checkpoint, metadata); a new id is the latest.

    With `instead`, all older ones of the namespace are deleted with their writes: the `known` ids, if they are given.
    """
    _append(transaction, _PUT, row)
    _append(transaction, _ORDER, row[:3])
    if not instead:
        return
    if known is None:
        for statement in _DROP_OLDER:
            _append(transaction, statement, row[:2])
        return
    for checkpoint_id in known:
        if checkpoint_id != row[2]:
            for statement in _DROP_KNOWN:
                _append(transaction, statement, (*row[:2], checkpoint_id))


def put_writes(transaction: Transaction, rows: Sequence[tuple[Any, ...]], *, replace: bool) -> None:
    """Stores writes of a task; known ones are replaced, at once, or kept, and then appended."""
    if replace:
        transaction.flush()
        transaction.connection.executemany(_REPLACE_WRITE, rows)
    else:
        _append(transaction, _KEEP_WRITE, *rows)


def _append(transaction: Transaction, statement: str, *rows: tuple[Any, ...]) -> None:
    transaction.append(_APPENDED[statement], statement, rows)


def find(
    connection: apsw.Connection, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None
) -> StoredCheckpoint | None:
    """A checkpoint by id, or the latest of its thread and namespace."""
    parameters: tuple[Any, ...] = (thread_id, checkpoint_ns)
    where = "o.thread_id = ? AND o.checkpoint_ns = ?"
    if checkpoint_id is not None:
        where, parameters = f"{where} AND o.checkpoint_id = ?", (*parameters, checkpoint_id)
    query = f"{_ROWS} WHERE {where} ORDER BY o.sequence DESC LIMIT 1"
    row: tuple[Any, ...] | None = next(connection.execute(query, parameters), None)
    return None if row is None else StoredCheckpoint(*(*row, _writes(connection, row[:3])))


class Selection(NamedTuple):
    """Which checkpoints to list; None means any. `before` is (thread, namespace, id), exclusive."""

    thread_id: str | None
    checkpoint_ns: str | None
    checkpoint_id: str | None
    metadata: Mapping[str, Any]
    before: tuple[str | None, str | None, str] | None


def listing(
    connection: apsw.Connection, selection: Selection, below: int | None, limit: int
) -> list[tuple[int, StoredCheckpoint]]:
    """A page of (sequence, checkpoint), latest first, with sequences below `below`."""
    clauses, parameters = _conditions(selection)
    if below is not None:
        clauses.append("o.sequence < ?")
        parameters.append(below)
    where = " AND ".join(clauses) or "TRUE"
    query = f"{_ROWS.replace('SELECT', 'SELECT o.sequence,')} WHERE {where} ORDER BY o.sequence DESC LIMIT ?"
    rows: list[tuple[Any, ...]] = connection.execute(query, (*parameters, limit)).fetchall()
    return [(row[0], StoredCheckpoint(*(*row[1:], _writes(connection, row[1:4])))) for row in rows]


def delete(transaction: Transaction, thread_id: str) -> None:
    for table in _TABLES:
        transaction.execute(f"DELETE FROM {table} WHERE thread_id = ?", (thread_id,))


def delete_by_runs(transaction: Transaction, run_ids: Sequence[str]) -> None:
    """Deletes the checkpoints whose metadata carry one of these as `run_id`, with their writes."""
    query = """
    SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints
    WHERE json_extract(CAST(metadata AS TEXT), '$.run_id') = ?
    """
    for run_id in run_ids:
        _delete_all(transaction, transaction.execute(query, (run_id,)).fetchall())


class Placed(NamedTuple):
    """A checkpoint's place in the order; `outdated` when it is one of a run and not the latest of its namespace."""

    sequence: int
    key: tuple[str, str, str]
    outdated: bool


def last_place(connection: apsw.Connection) -> int:
    """The highest sequence of a checkpoint; 0 when there is none."""
    return int(connection.execute("SELECT COALESCE(MAX(sequence), 0) FROM checkpoint_order").get)


def placed(connection: apsw.Connection, after: int, limit: int) -> list[Placed]:
    """A page of checkpoints with a sequence above `after`, in order."""
    return [Placed(row[0], row[1:4], bool(row[4])) for row in connection.execute(_PLACED, (after, limit))]


def drop(transaction: Transaction, keys: Sequence[tuple[str, str, str]]) -> None:
    """Deletes checkpoints, (thread, namespace, id) each, with their writes."""
    _delete_all(transaction, keys)


def keep_latest(transaction: Transaction, thread_id: str) -> None:
    """Deletes all but the latest checkpoint of each namespace, with their writes."""
    rows = transaction.execute(_OUTDATED, (thread_id,)).fetchall()
    _delete_all(transaction, [(thread_id, *row) for row in rows])


def copy(transaction: Transaction, source: str, target: str) -> None:
    """Copies a thread with its order; the target keeps nothing that it had."""
    delete(transaction, target)
    for table, columns, order in (
        ("checkpoints", "checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata", "rowid"),
        ("writes", "checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value", "rowid"),
        ("checkpoint_order", "checkpoint_ns, checkpoint_id", "sequence"),
    ):
        query = f"""
        INSERT INTO {table} (thread_id, {columns})
        SELECT ?, {columns} FROM {table} WHERE thread_id = ? ORDER BY {order}
        """
        transaction.execute(query, (target, source))


def _delete_all(transaction: Transaction, keys: Sequence[tuple[Any, ...]]) -> None:
    for table in _TABLES:
        transaction.connection.executemany(f"DELETE FROM {table} WHERE {_KEY}", keys)


def _writes(connection: apsw.Connection, key: tuple[Any, ...]) -> list[StoredWrite]:
    query = f"SELECT task_id, channel, type, value, task_path, idx FROM writes WHERE {_KEY}"
    rows: list[tuple[Any, ...]] = connection.execute(query, key).fetchall()
    return [StoredWrite(*row[:4]) for row in sorted(rows, key=lambda row: writes_sort_key(row[4], row[0], row[5]))]


def _conditions(selection: Selection) -> tuple[list[str], list[Any]]:
    clauses: list[str] = []
    parameters: list[Any] = []
    for column in ("thread_id", "checkpoint_ns", "checkpoint_id"):
        if (value := getattr(selection, column)) is not None:
            clauses.append(f"o.{column} = ?")
            parameters.append(value)
    for key, value in selection.metadata.items():
        # The key is a bound parameter and quoted: it can name a field, never be a piece of SQL or of a path.
        clauses.append("json_extract(CAST(c.metadata AS TEXT), ?) IS ?")
        parameters += ['$."' + key.replace('"', "") + '"', _comparable(value)]
    if selection.before is not None:
        clauses.append("""o.sequence < (SELECT MIN(b.sequence) FROM checkpoint_order AS b WHERE b.checkpoint_id = ?
            AND b.thread_id = COALESCE(?, b.thread_id) AND b.checkpoint_ns = COALESCE(?, b.checkpoint_ns))""")
        thread_id, checkpoint_ns, checkpoint_id = selection.before
        parameters += [checkpoint_id, thread_id, checkpoint_ns]
    return clauses, parameters


def _comparable(value: Any) -> Any:
    """How `json_extract` shows a value of metadata."""
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    return json.dumps(value, separators=(",", ":")) if isinstance(value, (dict, list)) else str(value)
