"""The journal: append-only events whose sequence number is the address of everything that is streamed."""

import json
from collections.abc import Iterable
from typing import Any, Final

import apsw

from milepost_agent.store.database import Transaction
from milepost_agent.store.records import EventRecord, NewEvent

OWN: Final = ""
"""Run id of events of the agent itself."""

_INSERT: Final = """
INSERT INTO journal (run_id, correlation_id, type, time, step, hop_index, data, key, traceparent)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, key) WHERE key IS NOT NULL DO NOTHING RETURNING sequence
"""
_OWN_SURPLUS: Final = f"""
SELECT sequence FROM journal WHERE run_id = '{OWN}' ORDER BY sequence DESC LIMIT 1 OFFSET ?
"""
_DROP_OWN: Final = f"""
DELETE FROM journal WHERE sequence IN (
    SELECT sequence FROM journal WHERE run_id = '{OWN}' AND sequence <= ? ORDER BY sequence LIMIT ?
)
"""
_LAST_SEQUENCE: Final = "SELECT seq FROM sqlite_sequence WHERE name = 'journal'"
_FIRST_OF_UNFINISHED: Final = """
SELECT MIN(sequence) FROM journal WHERE run_id IN (SELECT run_id FROM runs WHERE state != 'ended')
"""
_OWN_DURING: Final = f"""
SELECT {{columns}} FROM journal WHERE run_id = '{OWN}' AND type = :kind
AND sequence > (SELECT MIN(sequence) FROM journal WHERE run_id = :run_id)
AND sequence <= COALESCE((SELECT end_sequence FROM runs WHERE run_id = :run_id), 9223372036854775807)
ORDER BY sequence DESC LIMIT :limit
"""
_COLUMNS: Final = "sequence, run_id, correlation_id, type, time, step, hop_index, data, traceparent"


def encode(data: object) -> str:
    """Compact JSON.

    Raises:
        TypeError, ValueError: not JSON-able.
    """
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def check_event(event: NewEvent) -> None:
    """Refuses what could not be stored later, while the caller can still be told.

    Raises:
        TypeError, ValueError: the data is not JSON-able.
    """
    encode(dict(event.data))


def append(transaction: Transaction, run_id: str, correlation_id: str, events: Iterable[NewEvent]) -> None:
    """Appends events of a run and has them published after the commit. An event with a known key is dropped."""
    for event in events:
        data = encode(dict(event.data))
        row = (run_id, correlation_id, event.type, transaction.now, event.step, event.hop_index, data)
        sequence = transaction.execute(_INSERT, (*row, event.key or None, event.traceparent)).get
        if sequence is not None:
            transaction.events.append(_record((sequence, *row, event.traceparent)))


def read(connection: apsw.Connection, run_id: str | None, after: int, limit: int) -> list[EventRecord]:
    """Events with a sequence above `after`, in order, of one run or of all."""
    where, parameters = ("AND run_id = ?", (run_id,)) if run_id is not None else ("", ())
    query = f"SELECT {_COLUMNS} FROM journal WHERE sequence > ? {where} ORDER BY sequence LIMIT ?"
    return [_record(row) for row in connection.execute(query, (after, *parameters, limit))]


def last_sequence(connection: apsw.Connection) -> int:
    """The sequence of the newest event that there ever was; 0 before the first."""
    return int(connection.execute(_LAST_SEQUENCE).get or 0)


def before_unfinished(connection: apsw.Connection) -> int:
    """The sequence before the first event of the runs that have not ended; the newest when all have."""
    first = connection.execute(_FIRST_OF_UNFINISHED).get
    return last_sequence(connection) if first is None else int(first) - 1


def own(connection: apsw.Connection, kind: str) -> list[EventRecord]:
    """All events of a type of the agent itself, oldest first."""
    query = f"SELECT {_COLUMNS} FROM journal WHERE run_id = '{OWN}' AND type = ? ORDER BY sequence"
    return [_record(row) for row in connection.execute(query, (kind,))]


def own_during(connection: apsw.Connection, kind: str, run_id: str, limit: int) -> list[EventRecord]:
    """The newest events of a type of the agent itself between the first event of a run and its end, oldest first."""
    parameters = {"kind": kind, "run_id": run_id, "limit": limit}
    rows = connection.execute(_OWN_DURING.format(columns=_COLUMNS), parameters)
    return [_record(row) for row in rows][::-1]


def newest_own_surplus(connection: apsw.Connection, keep: int) -> int | None:
    """Sequence of the newest of the agent's own events that is not among its last `keep`; None when there is none."""
    sequence = connection.execute(_OWN_SURPLUS, (keep,)).get
    return None if sequence is None else int(sequence)


def drop_own(transaction: Transaction, up_to: int, rows: int) -> None:
    """Deletes at most `rows` of the agent's own events, the oldest first."""
    transaction.execute(_DROP_OWN, (up_to, rows))


def _record(row: tuple[Any, ...]) -> EventRecord:
    return EventRecord(*(*row[:7], json.loads(row[7]), row[8]))
