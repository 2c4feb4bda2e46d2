"""Removing ended runs: which are due, and how one goes in transactions that are all small.

A run disappears in one transaction, which deletes its row and puts its id into `removals`. What it leaves behind is
deleted in as many further ones as it takes; a process that is killed in between goes on from `removals`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import apsw

from milepost_agent.store.database import Transaction
from milepost_agent.store.records import ENDED

SLICE_ROWS: Final = 20
_LEFT_BEHIND: Final = (
    ("writes", "thread_id"),
    ("checkpoints", "thread_id"),
    ("checkpoint_order", "thread_id"),
    ("ledger", "run_id"),
    ("messages", "run_id"),
    ("requests", "run_id"),
    ("journal", "run_id"),
)
# Left to itself, SQLite finds these by their state: all runs that have ended.
_EXCESS: Final = f"""
SELECT run_id FROM runs INDEXED BY runs_by_end_sequence
WHERE state = '{ENDED}' AND (end_sequence, number) <= (
    SELECT end_sequence, number FROM runs INDEXED BY runs_by_end_sequence WHERE state = '{ENDED}'
    ORDER BY end_sequence DESC, number DESC LIMIT 1 OFFSET ?
) AND abs(? - end_time) >= ? ORDER BY end_sequence, number LIMIT ?
"""
_AGED: Final = f"""
SELECT run_id FROM runs INDEXED BY runs_by_end WHERE state = '{ENDED}' AND end_time <= ? ORDER BY end_time LIMIT ?
"""
# Requests that belong to no run.
_OLD_REQUESTS: Final = "FROM requests WHERE run_id = '' AND create_time <= ?"
_UNUSED_WORKFLOWS: Final = """
DELETE FROM workflows
WHERE digest != ? AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.workflow_digest = workflows.digest)
"""


@dataclass(frozen=True)
class RetentionPolicy:
    """What is kept of runs that ended: at most `ended_runs` of them, none for longer than `max_age` seconds.

    Whatever their number, none goes before `at_least` seconds have passed since its end: whoever started it can still
    read how it ended, and a repeated request still finds it.
    """

    ended_runs: int
    max_age: float
    at_least: float = 60.0


def due(connection: apsw.Connection, policy: RetentionPolicy, now: float, limit: int) -> list[str]:
    """Run ids of ended runs that may go, those that ended first at the front."""
    aged = connection.execute(_AGED, (now - max(policy.max_age, policy.at_least), limit)).fetchall()
    excess = connection.execute(_EXCESS, (policy.ended_runs, now, policy.at_least, limit)).fetchall()
    return list(dict.fromkeys(str(run_id) for (run_id,) in [*aged, *excess]))[:limit]


def has_leftovers(connection: apsw.Connection) -> bool:
    """Whether something is left of a run that has disappeared."""
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM removals)").get)


def has_old_requests(connection: apsw.Connection, before: float) -> bool:
    """Whether the id of a request to the agent itself is remembered from before that time."""
    return bool(connection.execute(f"SELECT EXISTS (SELECT 1 {_OLD_REQUESTS})", (before,)).get)


def forget_requests(transaction: Transaction, before: float, rows: int) -> None:
    """Forgets up to so many ids of requests to the agent itself; those to a run go with it."""
    query = f"DELETE FROM requests WHERE rowid IN (SELECT rowid {_OLD_REQUESTS} LIMIT ?)"
    transaction.execute(query, (before, rows))


def hide(transaction: Transaction, run_ids: Sequence[str], keep_workflow: str) -> list[str]:
    """Lets ended runs disappear, and stored workflows that no run needs any more, but for `keep_workflow`.

    Returns:
        Those that were still there.
    """
    hidden = []
    for run_id in run_ids:
        transaction.execute(f"DELETE FROM runs WHERE run_id = ? AND state = '{ENDED}'", (run_id,))
        if transaction.connection.changes():
            transaction.execute("INSERT OR IGNORE INTO removals (run_id) VALUES (?)", (run_id,))
            hidden.append(run_id)
    if hidden:
        transaction.execute(_UNUSED_WORKFLOWS, (keep_workflow,))
    return hidden


def clear(transaction: Transaction, rows: int, seconds: float) -> int:
    """Deletes rows that removed runs left behind: at most `rows`, and no more once `seconds` have passed.

    Returns:
        How many rows it deleted.
    """
    stop = time.perf_counter() + seconds
    deleted = 0
    while (run_id := transaction.execute("SELECT run_id FROM removals LIMIT 1").get) is not None:
        for table, column in _LEFT_BEHIND:
            query = f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {column} = ? LIMIT ?)"
            while True:
                size = min(SLICE_ROWS, rows - deleted)
                if size == 0 or (deleted and time.perf_counter() >= stop):
                    return deleted
                transaction.execute(query, (run_id, size))
                changes = transaction.connection.changes()
                deleted += changes
                if changes < size:
                    break
        transaction.execute("DELETE FROM removals WHERE run_id = ?", (run_id,))
    return deleted
