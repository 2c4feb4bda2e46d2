"""Making what is in the write-ahead log durable before anything new is promised on top of it."""

import contextlib
import os
from pathlib import Path
from typing import Final

import apsw

_CHUNK: Final = 1024 * 1024


def resync(connection: apsw.Connection, path: Path) -> None:
    """Puts everything that the log holds onto the disk for sure, then into the database, and empties the log.

    After an fsync that failed, the kernel marks the pages as clean although they never reached the disk, and the next
    fsync succeeds without them. They are read back as if all were well, so commits that stand after them in the log
    would be lost with them in a power cut. Pages that are written again are dirty again. So the bytes of the log are
    written onto themselves first; only with a log that is durable may a checkpoint overwrite pages of the database,
    which it writes all anew from the log. It holds for a failed fsync of an earlier process too.

    Raises:
        apsw.Error, OSError: the disk does not take it; nothing was lost by the attempt.
    """
    log = path.with_name(path.name + "-wal")
    if not log.exists() or not log.stat().st_size:
        return
    # Nobody else appends to the log or starts it anew meanwhile.
    connection.execute("BEGIN IMMEDIATE")
    try:
        _write_again(log)
    finally:
        connection.execute("ROLLBACK")
    # A reader of another program may keep the log in use: it is durable where it is.
    with contextlib.suppress(apsw.BusyError):
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def _write_again(file: Path) -> None:
    descriptor = os.open(file, os.O_RDWR)
    try:
        offset = 0
        while chunk := os.pread(descriptor, _CHUNK, offset):
            os.pwrite(descriptor, chunk, offset)
            offset += len(chunk)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
