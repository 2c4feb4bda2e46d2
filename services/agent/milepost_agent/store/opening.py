"""Opening the file: who may, where, with which SQLite, and only if it is sound; or a backup of it."""

import contextlib
import logging
import threading
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from milepost_agent.errors import (
    BackupFailed,
    StoreCorrupt,
    StoreFenced,
    StoreForeign,
    StoreNotWritable,
    StoreUnavailable,
    StoreVersion,
)
from milepost_agent.failpoints import failpoint
from milepost_agent.store import space
from milepost_agent.store.backup_folder import BackupFolder
from milepost_agent.store.damage import broken_header, log_bytes, lost_commits, missing_content, read_mark
from milepost_agent.store.durable import sync_folder
from milepost_agent.store.evidence import Evidence, boot_id
from milepost_agent.store.log_keeper import LogKeeper
from milepost_agent.store.migrations import SCHEMA_VERSION, Identity, migrate, schema_version
from milepost_agent.store.owner import Ownership, require_local, require_sqlite, unavailable
from milepost_agent.store.probe import sync_seconds
from milepost_agent.store.restoring import Restored, restore_newest, restore_requested
from milepost_agent.store.resync import resync
from milepost_agent.store.soundness import check, check_first

BUSY_MILLISECONDS: Final = 5_000
WAL_BYTES: Final = 64 * 1024 * 1024
"""Size to which the write-ahead log is cut back after a checkpoint."""

_log = logging.getLogger(__name__)


class Opened(NamedTuple):
    connection: apsw.Connection
    ownership: Ownership
    identity: Identity
    restored: Restored | None
    checked: bool
    """The whole file was checked; otherwise it is to be done while it is in use."""
    sync_seconds: float
    """See `probe.sync_seconds`."""


def open_file(path: Path, full: bool, folder: BackupFolder) -> Opened:
    """Locks, checks, migrates and opens the file for writing. On any error nothing stays open or locked.

    A file that is damaged is set aside whole, and the newest backup that verifies takes its place; the same is done
    for a restore that was asked for. Without such a backup the file is left as it is.

    Raises:
        StoreLocked, StoreUnavailable, StoreCorrupt, StoreVersion, StoreForeign, UnsupportedSqlite.
    """
    require_sqlite(sqlite_version())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unavailable(path, "written", error) from error
    require_local(path)
    ownership = Ownership.acquire(path)
    failpoint("store.locked")
    try:
        folder.clean()
        return _open_restored(path, full, folder, ownership)
    except BaseException:
        ownership.release()
        raise


def reopen_file(path: Path, full: bool, folder: BackupFolder, ownership: Ownership, *, restore: bool) -> Opened:
    """Opens the file again for the owner that has the lock, under a higher epoch. The lock is kept on any error.

    Args:
        restore: Do the restore that was asked for; nobody may have the file open then. Otherwise readers of this
            process may, so that the file is taken as it is or not at all.

    Raises:
        StoreFenced: someone else has owned the file meanwhile.
        StoreUnavailable, StoreCorrupt, StoreForeign, StoreVersion: each with one line.
    """
    if restore:
        return _open_restored(path, full, folder, ownership)
    try:
        connection, identity, _ = _open_sound(path, full, folder, ownership, still_owned=True)
    except StoreCorrupt as damage:
        raise StoreCorrupt(f"{path}: {damage}") from damage
    return Opened(connection, ownership, identity, None, checked=True, sync_seconds=sync_seconds(path.parent))


def _open_restored(path: Path, full: bool, folder: BackupFolder, ownership: Ownership) -> Opened:
    """Restores what is to be restored, and opens what is there then."""
    restored = restore_requested(path, folder, ownership)
    try:
        connection, identity, checked = _open_sound(path, full, folder, ownership)
    except StoreCorrupt as damage:
        restored = restore_newest(path, folder, ownership, str(damage))
        if restored is None:
            raise StoreCorrupt(f"{path}: {damage}; no backup of it verifies; the file was left as it is") from damage
        connection, identity, checked = _open_sound(path, full, folder, ownership)
    return Opened(connection, ownership, identity, restored, checked, sync_seconds(path.parent))


def sqlite_version() -> str:
    """Version of the SQLite library in use."""
    return apsw.sqlite_lib_version()


def _open_sound(
    path: Path, full: bool, folder: BackupFolder, ownership: Ownership, *, still_owned: bool = False
) -> tuple[apsw.Connection, Identity, bool]:
    """The connection, whose file it is, and whether all of it was checked.

    Raises StoreCorrupt with the damage alone; nothing was changed then.
    """
    if damage := missing_content(path, ownership.evidence) or broken_header(path):
        raise StoreCorrupt(damage)
    connection = _connect(path)
    try:
        whole = still_owned or check_first(path, ownership.evidence)
        return connection, _prepare(connection, path, full, folder, ownership, still_owned, whole), whole
    except BaseException:
        # What was found in the log stays there: a file that is not understood is left as it is.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(log_bytes(path) > 0))
        connection.close()
        raise


def _connect(path: Path) -> apsw.Connection:
    try:
        connection = apsw.Connection(str(path))
    except apsw.Error as error:
        raise _unavailable(path, "opened", error) from error
    if connection.readonly("main"):
        connection.close()
        raise StoreUnavailable(f"{path}: cannot be written: read-only file")
    return connection


def _prepare(
    connection: apsw.Connection,
    path: Path,
    full: bool,
    folder: BackupFolder,
    ownership: Ownership,
    still_owned: bool,
    whole: bool,
) -> Identity:
    evidence = ownership.evidence
    try:
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        if whole:
            check(connection)
        found = schema_version(connection)
        if damage := lost_commits(connection, evidence):
            raise StoreCorrupt(damage)
        if 0 < found < SCHEMA_VERSION:
            _back_up_before_migration(path, folder)
        space.prepare(connection)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full" if full else "normal")
        connection.pragma("journal_size_limit", WAL_BYTES)
        connection.pragma("temp_store", "memory")
        resync(connection, path)
        LogKeeper(connection, BUSY_MILLISECONDS)
        identity = migrate(connection, above=evidence.epoch if evidence else 0, still_owned=still_owned)
        space.convert(connection, path)
        sync_folder(path.parent)
        mark = read_mark(connection)
        ownership.record(Evidence(identity.owner_id, identity.epoch, clean=False, full=full, boot=boot_id(), mark=mark))
    except (StoreVersion, StoreForeign, StoreFenced) as error:
        raise type(error)(f"{path}: {error}") from error
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise StoreCorrupt(str(error)) from error
    except apsw.Error as error:
        raise _unavailable(path, "written", error) from error
    except OSError as error:
        raise unavailable(path, "written", error) from error
    failpoint("store.epoch_begun")
    return identity


def _unavailable(path: Path, what: str, error: apsw.Error) -> StoreUnavailable:
    # The disk refused; where it is a matter of rights or names, SQLite says something else.
    passing = isinstance(error, (apsw.FullError, apsw.ReadOnlyError, apsw.IOError))
    return (StoreNotWritable if passing else StoreUnavailable)(f"{path}: cannot be {what}: {error}")


def _back_up_before_migration(path: Path, folder: BackupFolder) -> None:
    """A migration is one transaction, so it goes on without a backup where none can be made."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    with contextlib.closing(connection):
        epoch = int(connection.execute("SELECT value FROM meta WHERE key = 'epoch'").get or 0)
    try:
        made, _ = folder.create(path, backup_id="", epoch=epoch, cause="migration", workflow="", stop=threading.Event())
        _log.info("backup %s made before the schema is migrated", made.backup_id)
    except BackupFailed as error:
        _log.warning("the schema is migrated without a backup before: %s", error)
