"""What an agent keeps: one SQLite file with one writer, committed in groups before anyone is told."""

from milepost_agent.errors import (
    BackupConflict,
    BackupDamaged,
    BackupFailed,
    BackupNotFound,
    LedgerConflict,
    MessageConflict,
    RequestConflict,
    RunConflict,
    RunNotFound,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreFenced,
    StoreForeign,
    StoreLocked,
    StoreNotWritable,
    StoreUnavailable,
    StoreVersion,
    StoreWriteError,
    UnsupportedSqlite,
)
from milepost_agent.store.backup_folder import Backup, BackupFolder
from milepost_agent.store.checkpointer import CheckpointSaver
from milepost_agent.store.copying import require_room
from milepost_agent.store.counters import COMMIT_BOUNDS, Commit, Counters
from milepost_agent.store.manifest import Cause, Manifest, is_backup_id
from milepost_agent.store.probe import probe
from milepost_agent.store.records import (
    ACCEPTED,
    ENDED,
    PAUSED,
    RUNNING,
    WAITING,
    EventRecord,
    LedgerEntry,
    MessageRecord,
    NewEvent,
    NewMessage,
    NewRequest,
    NewRun,
    RunRecord,
)
from milepost_agent.store.refusals import failure_reason
from milepost_agent.store.removal import RetentionPolicy
from milepost_agent.store.restoring import Restored, request
from milepost_agent.store.retention import Retention, RetentionCounters
from milepost_agent.store.runs import UPDATABLE
from milepost_agent.store.search import Page, RunFilter
from milepost_agent.store.step import StepTransaction
from milepost_agent.store.store import Durability, Store

__all__ = [
    "ACCEPTED",
    "COMMIT_BOUNDS",
    "ENDED",
    "PAUSED",
    "RUNNING",
    "UPDATABLE",
    "WAITING",
    "Backup",
    "BackupConflict",
    "BackupDamaged",
    "BackupFailed",
    "BackupFolder",
    "BackupNotFound",
    "Cause",
    "CheckpointSaver",
    "Commit",
    "Counters",
    "Durability",
    "EventRecord",
    "LedgerConflict",
    "LedgerEntry",
    "Manifest",
    "MessageConflict",
    "MessageRecord",
    "NewEvent",
    "NewMessage",
    "NewRequest",
    "NewRun",
    "Page",
    "RequestConflict",
    "Restored",
    "Retention",
    "RetentionCounters",
    "RetentionPolicy",
    "RunConflict",
    "RunFilter",
    "RunNotFound",
    "RunRecord",
    "StepTransaction",
    "Store",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreFenced",
    "StoreForeign",
    "StoreLocked",
    "StoreNotWritable",
    "StoreUnavailable",
    "StoreVersion",
    "StoreWriteError",
    "UnsupportedSqlite",
    "failure_reason",
    "is_backup_id",
    "probe",
    "request",
    "require_room",
]
