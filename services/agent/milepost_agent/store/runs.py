"""Rows of runs: accepted once, updated in step transactions, closed by their outcome."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import apsw

from milepost_agent.errors import RunConflict, RunNotFound
from milepost_agent.store import journal
from milepost_agent.store.database import Transaction
from milepost_agent.store.records import ACCEPTED, ENDED, PAUSED, RUNNING, WAITING, NewEvent, NewRun, RunRecord

UPDATABLE: Final = frozenset(
    {"state", "outcome", "reason", "result", "pending", "end_time", "current_step"}
    | {"remaining_hops", "current_cycle", "recoveries", "crashes"}
    | {"idle_seconds", "idle_since", "paused", "restored_from"}
)

_COLUMNS: Final = """
number, run_id, correlation_id, request_hash, workflow, workflow_digest, prompt, state, outcome, reason, result,
remaining_hops, max_hops, current_cycle, max_cycles, current_step, pending, recoveries, crashes,
(SELECT COALESCE(MAX(sequence), 0) FROM journal WHERE journal.run_id = runs.run_id) AS last_sequence,
traceparent, tracestate, create_time, update_time, end_time, idle_seconds, idle_since, paused, restored_from,
time_limit
"""
_PENDING: Final = 16
# The order in which runs ended, whatever the clock did in between.
_LAST_SEQUENCE: Final = "SELECT seq FROM sqlite_sequence WHERE name = 'journal'"
_NO_BOUND: Final = 2**63 - 1
_INSERT: Final = """
INSERT INTO runs (run_id, correlation_id, request_hash, workflow, workflow_digest, prompt, remaining_hops, max_hops,
                  max_cycles, time_limit, traceparent, tracestate, create_time, update_time, idle_since)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_START_CLOCK: Final = f"""
UPDATE runs SET idle_seconds = idle_seconds + MAX(0, ?2 - idle_since), idle_since = NULL,
    state = CASE state WHEN '{ACCEPTED}' THEN '{RUNNING}' ELSE state END
WHERE run_id = ?1 AND idle_since IS NOT NULL AND state != '{ENDED}'
"""
_STOP_CLOCKS: Final = f"""
UPDATE runs SET idle_since = MAX(update_time, COALESCE(?, update_time))
WHERE state IN ('{ACCEPTED}', '{RUNNING}', '{WAITING}') AND idle_since IS NULL
"""
# A paused run is in the state that it had, and is shown as paused. Each is counted in an index alone.
_COUNT: Final = f"""
SELECT state, SUM(number) FROM (
    SELECT state, COUNT(*) AS number FROM runs GROUP BY state
    UNION ALL SELECT state, -COUNT(*) FROM runs INDEXED BY runs_paused WHERE paused IS NOT NULL GROUP BY state
    UNION ALL SELECT '{PAUSED}', COUNT(*) FROM runs INDEXED BY runs_paused WHERE paused IS NOT NULL
) GROUP BY state HAVING SUM(number) > 0
"""
# An event of the agent itself may be of the process that looks back. The bound has the newest looked at first.
_LAST_EVENT: Final = f"""
SELECT time FROM journal WHERE sequence > 0 AND run_id != '{journal.OWN}' ORDER BY sequence DESC LIMIT 1
"""


def check_update(fields: Mapping[str, Any]) -> None:
    """Refuses columns that may not change, while the caller can still be told.

    Raises:
        TypeError, ValueError: a field is not in `UPDATABLE`, or `pending` is not JSON-able.
    """
    journal.encode(fields.get("pending"))
    if unknown := set(fields) - UPDATABLE:
        raise ValueError(f"not updatable: {', '.join(sorted(unknown))}; allowed: {', '.join(sorted(UPDATABLE))}")


def accept(transaction: Transaction, run: NewRun) -> tuple[RunRecord, bool]:
    """Inserts a run with its event `RunAccepted`, or finds the run that the same request made before.

    Raises:
        RunConflict: the correlation id or run id belongs to another request.
    """
    existing = get(transaction.connection, run.correlation_id) or get(transaction.connection, run.run_id)
    if existing is not None:
        if (existing.correlation_id, existing.request_hash) != (run.correlation_id, run.request_hash):
            raise RunConflict(f"correlation id {run.correlation_id} belongs to another request")
        return existing, True
    texts = (run.run_id, run.correlation_id, run.request_hash, run.workflow, run.workflow_digest, run.prompt)
    bounds = (run.max_hops, run.max_hops, run.max_cycles, run.time_limit)
    now = transaction.now
    transaction.execute(_INSERT, (*texts, *bounds, run.traceparent, run.tracestate, now, now, now))
    journal.append(transaction, run.run_id, run.correlation_id, [accepted_event(run)])
    record = get(transaction.connection, run.run_id)
    assert record is not None
    return record, False


def accepted_event(run: NewRun | RunRecord) -> NewEvent:
    """The first event of a run; stored once."""
    data = {
        "workflow": run.workflow,
        "workflow_digest": run.workflow_digest,
        "max_hops": run.max_hops,
        "max_cycles": run.max_cycles,
    }
    return NewEvent("RunAccepted", data=data, key="RunAccepted", traceparent=run.traceparent)


def get(connection: apsw.Connection, run_id: str) -> RunRecord | None:
    """The run with this run id or correlation id."""
    query = f"SELECT {_COLUMNS} FROM runs WHERE run_id = ?1 OR correlation_id = ?1 ORDER BY run_id = ?1 DESC LIMIT 1"
    row: tuple[Any, ...] | None = next(connection.execute(query, (run_id,)), None)
    return None if row is None else _record(row)


def listing(
    connection: apsw.Connection,
    states: Collection[str],
    limit: int,
    before: int | None,
    *,
    outcome: str = "",
    matching: tuple[str, Sequence[str]] = ("", ()),
) -> list[RunRecord]:
    """Runs by number, newest first; `before` is an exclusive bound for `number`.

    Args:
        states: Of these states; empty: of all.
        outcome: Of this outcome; empty: of any, or none yet.
        matching: One more condition in SQL, with its parameters.
    """
    plain = [state for state in states if state != PAUSED]
    marks = ", ".join("?" * len(plain))
    where = f"state IN ({marks}) AND paused IS NULL" if plain else "FALSE" if states else "TRUE"
    if PAUSED in states:
        where = f"({where} OR paused IS NOT NULL)" if plain else "paused IS NOT NULL"
    parameters = list(plain)
    if outcome:
        where += " AND outcome = ? AND outcome != ''"  # the second half lets SQLite take the index
        parameters.append(outcome)
    condition, more = matching
    if condition:
        where += f" AND ({condition})"
        parameters += more
    bound = _NO_BOUND if before is None else before
    query = f"SELECT {_COLUMNS} FROM runs WHERE {where} AND number < ? ORDER BY number DESC LIMIT ?"
    rows = connection.execute(query, (*parameters, bound, limit))
    return [_record(row) for row in rows]


def unfinished(connection: apsw.Connection) -> list[RunRecord]:
    """Runs that have not ended, paused ones too; oldest first."""
    query = f"SELECT {_COLUMNS} FROM runs WHERE state IN ('{ACCEPTED}', '{RUNNING}', '{WAITING}') ORDER BY number"
    return [_record(row) for row in connection.execute(query)]


def start_clock(transaction: Transaction, run_id: str) -> tuple[RunRecord | None, bool]:
    """Lets the clock of a run go on and calls it running; whether nobody ever drove it before."""
    record = get(transaction.connection, run_id)
    transaction.execute(_START_CLOCK, (run_id, transaction.now))
    return get(transaction.connection, run_id), record is not None and record.state == ACCEPTED


def stop_clocks(transaction: Transaction, *, at_last_event: bool) -> None:
    """Stops the clock of every run that is driven: now, or in the past at the last sign of a process that died."""
    when = transaction.execute(_LAST_EVENT).get if at_last_event else transaction.now
    transaction.execute(_STOP_CLOCKS, (when,))


def count(connection: apsw.Connection) -> dict[str, int]:
    """How many runs are in each state; states without runs are left out."""
    return {str(state): int(number) for state, number in connection.execute(_COUNT)}


def identify(transaction: Transaction, run_id: str) -> tuple[str, bool]:
    """Correlation id of a run, and whether it has ended.

    Raises:
        RunNotFound: no run with this run id.
    """
    row = next(transaction.execute("SELECT correlation_id, state FROM runs WHERE run_id = ?", (run_id,)), None)
    if row is None:
        raise RunNotFound(f"there is no run {run_id}")
    return str(row[0]), row[1] == ENDED


def update(transaction: Transaction, run_id: str, fields: Mapping[str, Any]) -> None:
    """Changes columns of a run that has not ended; one that has stays as it is."""
    values = dict(fields)
    if values.get("state") == ENDED:
        values.setdefault("end_time", transaction.now)
        values["paused"] = None
        values["end_sequence"] = transaction.execute(_LAST_SEQUENCE).get
    if values.get("pending") is not None:
        values["pending"] = journal.encode(values["pending"])
    values["update_time"] = transaction.now
    assignments = ", ".join(f"{column} = ?" for column in values)
    query = f"UPDATE runs SET {assignments} WHERE run_id = ? AND state != '{ENDED}'"
    transaction.execute(query, (*values.values(), run_id))


def _record(row: tuple[Any, ...]) -> RunRecord:
    pending = None if row[_PENDING] is None else json.loads(row[_PENDING])
    return RunRecord(*(*row[:_PENDING], pending, *row[_PENDING + 1 :]))
