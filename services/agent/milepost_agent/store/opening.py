"""Opening the file: who may, where, with which SQLite, and only if it is sound."""

import os
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from milepost_agent.errors import StoreCorrupt, StoreUnavailable, StoreVersion
from milepost_agent.store import space
from milepost_agent.store.migrations import Identity, migrate
from milepost_agent.store.owner import Ownership, require_local, require_sqlite

BUSY_MILLISECONDS: Final = 5_000
WAL_BYTES: Final = 64 * 1024 * 1024
"""Size to which the write-ahead log is cut back after a checkpoint."""


class Opened(NamedTuple):
    connection: apsw.Connection
    ownership: Ownership | None
    identity: Identity


def open_file(path: Path, full: bool) -> Opened:
    """Locks, checks, migrates and opens the file for writing. On any error nothing stays open or locked.

    Raises:
        StoreLocked, StoreUnavailable, StoreCorrupt, StoreVersion, UnsupportedSqlite.
    """
    require_sqlite(sqlite_version())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"{path}: cannot be written: {error.strerror}") from error
    require_local(path)
    ownership = Ownership.acquire(path)
    try:
        connection = _connect(path)
    except BaseException:
        ownership.release()
        raise
    try:
        return Opened(connection, ownership, _prepare(connection, path, full))
    except BaseException:
        # What was found in the log stays there: a file that is not understood is left as it is.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.close()
        ownership.release()
        raise


def sqlite_version() -> str:
    """Version of the SQLite library in use."""
    return apsw.sqlite_lib_version()


def _connect(path: Path) -> apsw.Connection:
    try:
        connection = apsw.Connection(str(path))
    except apsw.Error as error:
        raise StoreUnavailable(f"{path}: cannot be opened: {error}") from error
    if connection.readonly("main"):
        connection.close()
        raise StoreUnavailable(f"{path}: cannot be written: read-only file")
    return connection


def _prepare(connection: apsw.Connection, path: Path, full: bool) -> Identity:
    try:
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        _check(connection, path)
        space.prepare(connection)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full" if full else "normal")
        connection.pragma("journal_size_limit", WAL_BYTES)
        connection.pragma("temp_store", "memory")
        identity = migrate(connection)
        space.convert(connection, path)
    except StoreVersion as error:
        raise StoreVersion(f"{path}: {error}") from error
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise StoreCorrupt(f"{path}: {error}; the file was left as it is") from error
    except apsw.Error as error:
        raise StoreUnavailable(f"{path}: cannot be written: {error}") from error
    _sync_folder(path.parent)
    return identity


def _check(connection: apsw.Connection, path: Path) -> None:
    found = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        raise StoreCorrupt(f"{path}: {str(found[0]).splitlines()[0]}; the file was left as it is")


def _sync_folder(folder: Path) -> None:
    """Makes the names of new files in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
