"""Requests that change something once: a repeated one is known by its id, and changes nothing."""

from typing import Final

from milepost_agent.errors import RequestConflict
from milepost_agent.store.database import Transaction
from milepost_agent.store.records import NewRequest

_SELECT: Final = "SELECT method, request_hash FROM requests WHERE request_id = ?"
_INSERT: Final = """
INSERT INTO requests (request_id, run_id, method, request_hash, create_time) VALUES (?, ?, ?, ?, ?)
"""


def known(transaction: Transaction, run_id: str, request: NewRequest | None) -> bool:
    """Whether the request was done before; one that was not is remembered from now on.

    Raises:
        RequestConflict: the id belongs to another request.
    """
    if request is None:
        return False
    found = next(transaction.execute(_SELECT, (request.request_id,)), None)
    if found is None:
        row = (request.request_id, run_id, request.method, request.request_hash, transaction.now)
        transaction.execute(_INSERT, row)
        return False
    if found != (request.method, request.request_hash):
        raise RequestConflict(f"request id {request.request_id} belongs to another request")
    return True
