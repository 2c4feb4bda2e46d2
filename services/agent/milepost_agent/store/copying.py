"""Copying the database while it is written, and telling whether a copy is sound."""

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from milepost_agent.errors import BackupDamaged, BackupFailed
from milepost_agent.failpoints import failpoint
from milepost_agent.store.migrations import OURS, SCHEMA_VERSION, tables

STEP_PAGES: Final = 128
FLUSH_BYTES: Final = 4 * 2**20
"""So much of the copy at most waits to be written when a run's commit wants the disk."""
LEAST_FREE_BYTES: Final = 64 * 2**20
LEAST_FREE_SHARE: Final = 0.05
"""Of the disk; the smaller of both is left to the runs."""
_PROGRESS_STEPS: Final = 10_000
BUSY_MILLISECONDS: Final = 5_000


class Contents(NamedTuple):
    """What a copy holds. `workflow` is that of its newest run; empty when it has none."""

    store_id: str
    epoch: int
    last_sequence: int
    runs: int
    schema_version: int
    workflow: str


def copy_online(source: Path, target: Path, stop: threading.Event) -> None:
    """Copies the database as it is at this moment, step by step, while others write it.

    A reader of its own holds one snapshot from the first page to the last. So no write restarts the copy, none is in it
    that came later, and the writer never waits: it appends to the log, which is moved into the database up to this
    snapshot and grows until the copy is done. After each step the thread rests for as long as the step took.

    Raises:
        BackupFailed: `stop` was set, or there is not enough room.
        apsw.Error, OSError: the source cannot be read or the target not be written.
    """
    reader = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
    copy = apsw.Connection(str(target))
    descriptor = os.open(target, os.O_RDWR)
    try:
        reader.set_busy_timeout(BUSY_MILLISECONDS)
        copy.pragma("journal_mode", "off")
        copy.pragma("synchronous", "off")
        reader.execute("BEGIN")
        pages = int(reader.execute("PRAGMA page_count").get)
        size = int(reader.execute("PRAGMA page_size").get) * pages
        require_room(target.parent, size)
        failpoint("backup.begun")
        unflushed = 0
        with copy.backup("main", reader, "main") as work:
            while not work.done:
                started = time.monotonic()
                work.step(STEP_PAGES)
                unflushed += STEP_PAGES * size // pages
                if unflushed >= FLUSH_BYTES:
                    os.fdatasync(descriptor)
                    require_room(target.parent, 0)
                    unflushed = 0
                failpoint("backup.step_copied")
                if stop.wait(time.monotonic() - started):
                    raise BackupFailed("it was broken off")
    finally:
        copy.close()
        reader.close()
        os.close(descriptor)


def require_room(folder: Path, size: int) -> None:
    """Leaves the runs room on the disk.

    Raises:
        BackupFailed: a file of so many bytes would take it.
    """
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    least = int(min(LEAST_FREE_BYTES, LEAST_FREE_SHARE * found.f_blocks * found.f_frsize))
    if free < size + least:
        raise BackupFailed(
            f"{folder}: no room for a backup of {size:,} bytes: {free:,} bytes are free, {least:,} stay with the runs"
        )


def sha256_of(file: Path) -> str:
    """Checksum of a file, hex. Raises OSError."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_contents(file: Path, stop: threading.Event | None = None) -> Contents:
    """Checks a file that nobody writes, page by page and index by index, and reads what it holds; changes nothing.

    Raises:
        BackupDamaged: it is no sound database of ours, or of a newer release.
        BackupFailed: `stop` was set.
    """
    try:
        connection = apsw.Connection(
            f"{file.resolve().as_uri()}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )
    except apsw.Error as error:
        raise BackupDamaged(f"{file}: cannot be opened: {error}") from error
    if stop is not None:
        connection.set_progress_handler(stop.is_set, _PROGRESS_STEPS)
    try:
        return _contents(connection, file)
    except apsw.InterruptError as error:
        raise BackupFailed("it was broken off") from error
    except apsw.Error as error:
        raise BackupDamaged(f"{file}: {error}") from error
    finally:
        connection.close()


def _contents(connection: apsw.Connection, file: Path) -> Contents:
    found = str(connection.execute("PRAGMA integrity_check(1)").get)
    if found != "ok":
        raise BackupDamaged(f"{file}: {found.splitlines()[0]}")
    if not tables(connection) >= OURS:
        raise BackupDamaged(f"{file}: is no file of an agent's runs")
    meta = {str(key): str(value) for key, value in connection.execute("SELECT key, value FROM meta")}
    version = int(meta.get("schema_version", 0))
    if version > SCHEMA_VERSION:
        raise BackupDamaged(f"{file}: schema version {version} is from a newer release")
    return Contents(
        meta.get("store_id", ""),
        int(meta.get("epoch", 0)),
        int(connection.execute("SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'journal'").get),
        int(connection.execute("SELECT COUNT(*) FROM runs").get),
        version,
        str(connection.execute("SELECT workflow FROM runs ORDER BY number DESC LIMIT 1").get or ""),
    )
