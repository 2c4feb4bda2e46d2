"""Query plans: nothing that is asked while runs go on looks at every row of a table."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

from milepost_agent.store import (
    ENDED,
    PAUSED,
    LedgerEntry,
    NewMessage,
    NewRequest,
    RetentionPolicy,
    RunFilter,
    journal,
    ledger,
    messages,
    removal,
    requests,
    runs,
    search,
    threads,
)
from milepost_agent.store.database import Transaction
from milepost_agent.store.migrations import migrate
from store_zygote import new_run


class Explaining:
    """Runs statements as the connection does, and keeps the plan of each."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.plans: list[str] = []
        self.changes = connection.changes

    def execute(self, query: str, parameters: Any = ()) -> apsw.Cursor:
        plan = self._connection.execute(f"EXPLAIN QUERY PLAN {query}", parameters)
        self.plans += [str(row[3]) for row in plan]
        return self._connection.execute(query, parameters)

    def executemany(self, query: str, rows: Any) -> None:
        for row in rows:
            self.execute(query, row)


@pytest.fixture
def explaining(tmp_path: Path) -> Iterator[Explaining]:
    connection = apsw.Connection(str(tmp_path / "m.db"))
    migrate(connection)
    yield Explaining(connection)
    connection.close()


def begin(explaining: Explaining) -> Transaction:
    transaction = Transaction(cast(apsw.Connection, explaining), 1.0)
    runs.accept(transaction, new_run())
    runs.accept(transaction, new_run(ID))
    put(transaction)
    return transaction


def put(transaction: Transaction) -> None:
    threads.put(transaction, ("run", "", "1", None, "msgpack", b"\x80", b"{}"), instead=True)
    transaction.flush()


ID = "0f3c9a52-7b1e-4c55-9a01-00000000abcd"
ENTRY = LedgerEntry("run/0", "run", 0, "Invoke", "hash", b"")
MESSAGE = NewMessage("1", "user", "coder", "do")
# Tables of a few rows: one a table, one a version of the workflow, one a run that is being cleared away.
SMALL = {"SCAN CONSTANT ROW", "SCAN sqlite_sequence", "SCAN workflows", "SCAN removals"}


def read(query: Callable[[apsw.Connection], object]) -> Callable[[Transaction], object]:
    return lambda transaction: query(transaction.connection)


def remove(transaction: Transaction) -> None:
    runs.update(transaction, "run", {"state": ENDED})
    removal.hide(transaction, ["run"], "")
    removal.clear(transaction, 200, 60)


@pytest.mark.requirement("DUR-8")
@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(ask, id=name)
        for name, ask in {
            "a run": read(lambda db: runs.get(db, "run")),
            "the newest runs": read(lambda db: runs.listing(db, (), 50, None)),
            "a later page of runs": read(lambda db: runs.listing(db, (), 50, 7)),
            "runs of a state": read(lambda db: runs.listing(db, (ENDED,), 50, 7)),
            "runs of an outcome": read(lambda db: search.page(db, RunFilter(outcome="Failed"), 50, 7)),
            "runs by the beginning of an id": read(lambda db: search.page(db, RunFilter(text=ID[:8]), 50, None)),
            "runs by text": read(lambda db: search.page(db, RunFilter(text="sort"), 50, None)),
            "messages of all runs": read(lambda db: messages.newest(db, 50, 7)),
            "paused runs": read(lambda db: runs.listing(db, (PAUSED,), 50, None)),
            "unfinished runs": read(runs.unfinished),
            "an inbox": read(lambda db: messages.inbox(db, "run", "coder")),
            "messages of a run": read(lambda db: messages.of_run(db, "run")),
            "events of a run": read(lambda db: journal.read(db, "run", 7, 500)),
            "events of all": read(lambda db: journal.read(db, None, 7, 500)),
            "events of the agent itself": read(lambda db: journal.newest_own_surplus(db, 2)),
            "processes of a run": read(lambda db: journal.own_during(db, "AgentStarted", "run", 100)),
            "events of the agent itself that go": lambda transaction: journal.drop_own(transaction, 7, 200),
            "an answer": read(lambda db: ledger.get(db, "run/0")),
            "the latest checkpoint": read(lambda db: threads.find(db, "run", "", None)),
            "one checkpoint": read(lambda db: threads.find(db, "run", "", "1")),
            "the order of checkpoints": read(lambda db: threads.placed(db, 7, 200)),
            "old requests": read(lambda db: removal.has_old_requests(db, 7.0)),
            "requests that are forgotten": lambda transaction: removal.forget_requests(transaction, 7.0, 200),
            "what is left of removed runs": read(removal.has_leftovers),
            "the end of a run": lambda transaction: runs.update(transaction, "run", {"state": ENDED}),
            "a recorded answer": lambda transaction: ledger.put(transaction, ENTRY),
            "a message": lambda transaction: messages.add_or_match(transaction, "run", "run", MESSAGE),
            "a delivery": lambda transaction: messages.deliver(transaction, "run", ["1"]),
            "a checkpoint instead of older ones": put,
            "clocks that stop": lambda transaction: runs.stop_clocks(transaction, at_last_event=True),
            "a request": lambda transaction: requests.known(transaction, "run", NewRequest("1", "Pause", "hash")),
            "a thread that goes": lambda transaction: threads.delete(transaction, "run"),
            "a removal": remove,
        }.items()
    ],
)
def test_no_table_is_read_through(explaining: Explaining, ask: Callable[[Transaction], object]) -> None:
    transaction = begin(explaining)
    explaining.plans.clear()
    ask(transaction)
    assert explaining.plans
    scans = [plan for plan in explaining.plans if plan.startswith("SCAN") and plan not in SMALL]
    assert scans == []


@pytest.mark.requirement("DUR-8")
def test_what_is_due_is_found_from_the_oldest_end_of_a_run_on(explaining: Explaining) -> None:
    # The last one counts `endedRuns` from the newest one on.
    begin(explaining)
    explaining.plans.clear()
    removal.due(cast(apsw.Connection, explaining), RetentionPolicy(100, 60), 1e9, 20)
    assert [plan for plan in explaining.plans if "runs" in plan] == [
        "SEARCH runs USING INDEX runs_by_end (end_time<?)",
        "SEARCH runs USING INDEX runs_by_end_sequence (end_sequence<?)",
        "SCAN runs USING COVERING INDEX runs_by_end_sequence",
    ]


@pytest.mark.requirement("DUR-8")
def test_runs_of_an_outcome_are_found_in_their_index_alone(explaining: Explaining) -> None:
    begin(explaining)
    explaining.plans.clear()
    search.page(cast(apsw.Connection, explaining), RunFilter(outcome="Failed"), 50, 7)
    [plan] = [plan for plan in explaining.plans if " runs " in plan]
    assert plan == "SEARCH runs USING INDEX runs_by_outcome (outcome=? AND number<?)"


@pytest.mark.requirement("DUR-8")
def test_runs_are_counted_in_indexes_alone(explaining: Explaining) -> None:
    begin(explaining)
    explaining.plans.clear()
    runs.count(cast(apsw.Connection, explaining))
    assert {plan for plan in explaining.plans if " runs " in plan} == {
        "SCAN runs USING COVERING INDEX runs_by_state",
        "SCAN runs USING INDEX runs_paused",
    }
