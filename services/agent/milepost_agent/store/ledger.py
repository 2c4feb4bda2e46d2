"""The ledger: the answer of every completed call, by an id that is the same in every attempt."""

from typing import Final

import apsw

from milepost_agent.errors import LedgerConflict
from milepost_agent.store.database import Transaction
from milepost_agent.store.records import LedgerEntry

_COLUMNS: Final = "call_id, run_id, ordinal, method, request_hash, response, create_time"
_SELECT: Final = f"SELECT {_COLUMNS} FROM ledger WHERE call_id = ?"
_INSERT: Final = f"""
INSERT INTO ledger ({_COLUMNS}, correlation_id)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, COALESCE((SELECT correlation_id FROM runs WHERE run_id = ?2), ''))
"""


def get(connection: apsw.Connection, call_id: str) -> LedgerEntry | None:
    row = next(connection.execute(_SELECT, (call_id,)), None)
    return None if row is None else LedgerEntry(*row)


def put(transaction: Transaction, entry: LedgerEntry) -> LedgerEntry:
    """Records an answer, or returns the one that was recorded for the same call before.

    Raises:
        LedgerConflict: the call was recorded with another request.
    """
    stored = get(transaction.connection, entry.call_id)
    if stored is None:
        when = entry.create_time or transaction.now
        head = (entry.call_id, entry.run_id, entry.ordinal, entry.method, entry.request_hash)
        transaction.execute(_INSERT, (*head, entry.response, when))
        return LedgerEntry(*head, entry.response, when)
    if (stored.request_hash, stored.method) != (entry.request_hash, entry.method):
        raise LedgerConflict(f"call {entry.call_id} was recorded before with another request")
    return stored
