"""Messages between the roles of a run: stored once by id, delivered once to the recipient's next step."""

from collections.abc import Collection
from typing import Any, Final

import apsw

from milepost_agent.errors import MessageConflict
from milepost_agent.store.database import Transaction
from milepost_agent.store.records import MessageRecord, NewMessage

_COLUMNS: Final = """
sequence, run_id, correlation_id, message_id, sender_role, recipient_role, payload, hop_index, traceparent, tracestate,
create_time, delivered
"""
_NO_BOUND: Final = 2**63 - 1
_INSERT: Final = """
INSERT INTO messages (run_id, correlation_id, message_id, sender_role, recipient_role, payload, hop_index, traceparent,
                      tracestate, create_time)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, message_id) DO NOTHING
"""


def add(transaction: Transaction, run_id: str, correlation_id: str, message: NewMessage) -> bool:
    """Stores a message; False when its id is known in this run, and then nothing is stored."""
    head = (run_id, correlation_id, message.message_id, message.sender_role, message.recipient_role, message.payload)
    tail = (message.hop_index, message.traceparent, message.tracestate, transaction.now)
    transaction.execute(_INSERT, (*head, *tail))
    return bool(transaction.connection.changes())


def add_or_match(
    transaction: Transaction, run_id: str, correlation_id: str, message: NewMessage
) -> tuple[MessageRecord, bool]:
    """Stores a message or finds the same one again; True when it was known.

    Raises:
        MessageConflict: the id was used in this run for other content.
    """
    added = add(transaction, run_id, correlation_id, message)
    stored = _select(transaction.connection, "run_id = ? AND message_id = ?", (run_id, message.message_id))[0]
    ours = (message.sender_role, message.recipient_role, message.payload)
    if (stored.sender_role, stored.recipient_role, stored.payload) != ours:
        raise MessageConflict(f"message id {message.message_id} was used before in run {run_id} for another message")
    return stored, not added


def deliver(transaction: Transaction, run_id: str, message_ids: Collection[str]) -> None:
    """Marks messages of a run as delivered."""
    for message_id in message_ids:
        transaction.execute(
            "UPDATE messages SET delivered = 1 WHERE run_id = ? AND message_id = ?", (run_id, message_id)
        )


def inbox(connection: apsw.Connection, run_id: str, role: str) -> list[MessageRecord]:
    """Messages to a role that no step took yet, oldest first."""
    return _select(connection, "run_id = ? AND recipient_role = ? AND NOT delivered", (run_id, role))


def of_run(connection: apsw.Connection, run_id: str) -> list[MessageRecord]:
    """All messages of a run, oldest first."""
    return _select(connection, "run_id = ?", (run_id,))


def newest(connection: apsw.Connection, limit: int, before: int | None) -> list[MessageRecord]:
    """Messages of all runs, newest first; `before` is an exclusive bound for `sequence`."""
    bound = _NO_BOUND if before is None else before
    query = f"SELECT {_COLUMNS} FROM messages WHERE sequence < ? ORDER BY sequence DESC LIMIT ?"
    return [_record(row) for row in connection.execute(query, (bound, limit))]


def _select(connection: apsw.Connection, where: str, parameters: tuple[Any, ...]) -> list[MessageRecord]:
    query = f"SELECT {_COLUMNS} FROM messages WHERE {where} ORDER BY sequence"
    rows: list[tuple[Any, ...]] = connection.execute(query, parameters).fetchall()
    return [_record(row) for row in rows]


def _record(row: tuple[Any, ...]) -> MessageRecord:
    return MessageRecord(*(*row[:-1], bool(row[-1])))
