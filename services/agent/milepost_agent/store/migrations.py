"""The schema, one step a version; a file is brought up to date in one transaction when it is opened."""

import os
import uuid
from typing import Final, NamedTuple

import apsw

from milepost_agent.errors import StoreFenced, StoreForeign, StoreVersion
from milepost_agent.failpoints import failpoint

_LANGGRAPH: Final = """
CREATE TABLE IF NOT EXISTS checkpoints (
    thread_id TEXT NOT NULL,
    checkpoint_ns TEXT NOT NULL DEFAULT '',
    checkpoint_id TEXT NOT NULL,
    parent_checkpoint_id TEXT,
    type TEXT,
    checkpoint BLOB,
    metadata BLOB,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
);
CREATE TABLE IF NOT EXISTS writes (
    thread_id TEXT NOT NULL,
    checkpoint_ns TEXT NOT NULL DEFAULT '',
    checkpoint_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    task_path TEXT NOT NULL DEFAULT '',
    idx INTEGER NOT NULL,
    channel TEXT NOT NULL,
    type TEXT,
    value BLOB,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
);
"""

_FIRST: Final = """
CREATE TABLE checkpoint_order (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    thread_id TEXT NOT NULL,
    checkpoint_ns TEXT NOT NULL,
    checkpoint_id TEXT NOT NULL,
    UNIQUE (thread_id, checkpoint_ns, checkpoint_id)
);
CREATE INDEX checkpoint_order_latest ON checkpoint_order (thread_id, checkpoint_ns, sequence);
CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL UNIQUE,
    correlation_id TEXT NOT NULL UNIQUE,
    request_hash TEXT NOT NULL,
    workflow TEXT NOT NULL,
    workflow_digest TEXT NOT NULL,
    prompt TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'accepted',
    outcome TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    result TEXT NOT NULL DEFAULT '',
    remaining_hops INTEGER NOT NULL,
    max_hops INTEGER NOT NULL,
    current_cycle INTEGER NOT NULL DEFAULT 0,
    max_cycles INTEGER NOT NULL,
    current_step TEXT NOT NULL DEFAULT '',
    pending TEXT,
    recoveries INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    traceparent TEXT NOT NULL,
    tracestate TEXT NOT NULL,
    create_time REAL NOT NULL,
    update_time REAL NOT NULL,
    end_time REAL
);
CREATE INDEX runs_by_state ON runs (state, number);
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    type TEXT NOT NULL,
    time REAL NOT NULL,
    step TEXT NOT NULL,
    hop_index INTEGER NOT NULL,
    data TEXT NOT NULL,
    key TEXT,
    traceparent TEXT NOT NULL
);
CREATE INDEX journal_by_run ON journal (run_id, sequence);
CREATE UNIQUE INDEX journal_key ON journal (run_id, key) WHERE key IS NOT NULL;
CREATE TABLE ledger (
    call_id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    method TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    response BLOB NOT NULL,
    create_time REAL NOT NULL
);
CREATE INDEX ledger_by_run ON ledger (run_id);
CREATE TABLE messages (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    sender_role TEXT NOT NULL,
    recipient_role TEXT NOT NULL,
    payload TEXT NOT NULL,
    hop_index INTEGER NOT NULL,
    traceparent TEXT NOT NULL,
    tracestate TEXT NOT NULL,
    create_time REAL NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    UNIQUE (run_id, message_id)
);
CREATE TABLE workflows (digest TEXT PRIMARY KEY, text TEXT NOT NULL, create_time REAL NOT NULL);
CREATE TABLE services (position INTEGER PRIMARY KEY, data TEXT NOT NULL);
"""

_SECOND: Final = """
ALTER TABLE runs ADD COLUMN idle_seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN idle_since REAL;
ALTER TABLE runs ADD COLUMN paused REAL;
ALTER TABLE runs ADD COLUMN time_limit REAL NOT NULL DEFAULT 900;
ALTER TABLE runs ADD COLUMN restored_from TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN end_sequence INTEGER;
UPDATE runs SET end_sequence = (SELECT MAX(sequence) FROM journal WHERE journal.run_id = runs.run_id)
WHERE state = 'ended';
CREATE INDEX runs_paused ON runs (number) WHERE paused IS NOT NULL;
CREATE INDEX runs_by_end ON runs (end_time) WHERE state = 'ended';
CREATE INDEX runs_by_end_sequence ON runs (end_sequence) WHERE state = 'ended';
CREATE INDEX runs_by_workflow ON runs (workflow_digest);
CREATE TABLE removals (run_id TEXT PRIMARY KEY);
CREATE INDEX messages_by_inbox ON messages (run_id, recipient_role) WHERE NOT delivered;
CREATE TABLE requests (
    request_id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    method TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    create_time REAL NOT NULL
);
CREATE INDEX requests_by_run ON requests (run_id, create_time);
"""

_THIRD: Final = """
CREATE INDEX runs_by_outcome ON runs (outcome, number) WHERE outcome != '';
"""

MIGRATIONS: Final = (_LANGGRAPH + _FIRST, _SECOND, _THIRD)
SCHEMA_VERSION: Final = len(MIGRATIONS)
_LIFE: Final = uuid.uuid4()
"""Tells this process from a later one with the same pid."""
OURS: Final = frozenset({"meta", "runs", "journal", "ledger", "messages", "checkpoints", "writes", "checkpoint_order"})
STOCK: Final = frozenset({"checkpoints", "writes"})
"""What a stock saver makes; its file can be taken over."""

# Rows that a stock saver wrote while it had the file have no place in our order yet.
_ADOPT: Final = """
INSERT INTO checkpoint_order (thread_id, checkpoint_ns, checkpoint_id)
SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints AS c
WHERE NOT EXISTS (
    SELECT 1 FROM checkpoint_order AS o
    WHERE o.thread_id = c.thread_id AND o.checkpoint_ns = c.checkpoint_ns AND o.checkpoint_id = c.checkpoint_id
)
ORDER BY checkpoint_id
"""


class Identity(NamedTuple):
    """Which file this is, and which of its owners in a row has it: what others tell a displaced owner by."""

    owner_id: str
    epoch: int


def tables(connection: apsw.Connection) -> set[str]:
    """Names of the tables of a file, without SQLite's own."""
    return {
        str(name)
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        if not str(name).startswith("sqlite_")
    }


def schema_version(connection: apsw.Connection) -> int:
    """The version of a file; 0 for a new one, or one of a stock saver. Changes nothing.

    Raises:
        StoreForeign: it is a file of another application.
        StoreVersion: the schema is newer than this release knows.
    """
    found = tables(connection)
    if found <= STOCK:
        return 0
    if not found >= OURS:
        names = ", ".join(sorted(found)[:5])
        raise StoreForeign(f"is a database of another application (tables: {names}); choose another folder")
    version = int(_read(connection, "schema_version") or 0)
    if version > SCHEMA_VERSION:
        raise StoreVersion(f"schema version {version} is from a newer release; this one knows up to {SCHEMA_VERSION}")
    return version


def upgrade(connection: apsw.Connection) -> None:
    """Brings the schema up to date, inside of a transaction. Raises as `schema_version` does."""
    found = schema_version(connection)
    connection.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    for script in MIGRATIONS[found:]:
        connection.execute(script)
    _write(connection, "schema_version", str(SCHEMA_VERSION))


def migrate(connection: apsw.Connection, above: int = 0, *, still_owned: bool = False) -> Identity:
    """Brings the schema up to date and begins a new epoch, in one transaction.

    Args:
        above: The new epoch is higher than this one too.
        still_owned: This process owned the file last; nobody else may have done so since.

    Returns:
        The id that the file keeps for ever (UUID), and an epoch that is one more than that of the owner before.

    Raises:
        StoreForeign, StoreVersion, StoreFenced: nothing was changed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Not told by the epoch: a commit of ours that failed may be there all the same.
        if still_owned and _read(connection, "owner") != _process():
            raise StoreFenced("another process took over; this one must stop")
        upgrade(connection)
        epoch = max(int(_read(connection, "epoch") or 0), above) + 1
        owner_id = _read(connection, "store_id") or str(uuid.uuid4())
        _write(connection, "store_id", owner_id)
        _write(connection, "owner", _process())
        _write(connection, "epoch", str(epoch))
        connection.execute(_ADOPT)
        failpoint("store.migrated")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return Identity(owner_id, epoch)


def _process() -> str:
    return f"{os.getpid()}-{_LIFE}"


def _read(connection: apsw.Connection, key: str) -> str | None:
    value = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).get
    return None if value is None else str(value)


def _write(connection: apsw.Connection, key: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))
