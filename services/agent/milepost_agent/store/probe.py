"""Whether a folder takes data now: asked before a store that could not write is opened again."""

import contextlib
import os
import statistics
import time
from pathlib import Path
from typing import Final

from milepost_agent.store.durable import sync_folder

ROOM: Final = 1024 * 1024
"""Bytes that must go in: a disk with less is as good as full, and would only let a few commits pass."""
SYNCS: Final = 3
PAGE: Final = 4096


def probe(folder: Path) -> str:
    """Writes, syncs and deletes a file in the folder; why it cannot be done in one line, empty when it can."""
    file = folder / ".probe"
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _fill(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            file.unlink()
        sync_folder(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
        return f"{folder}: {error.strerror}"
    return ""


def sync_seconds(folder: Path) -> float:
    """How long the disk of a folder takes to make a page that was written durable; 0 when it cannot be told.

    The median of `SYNCS`, of a file of its own: to open and close a database aside from SQLite would drop its locks.
    """
    file = folder / ".sync"
    taken = []
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            for _ in range(SYNCS):
                os.write(descriptor, os.urandom(PAGE))
                started = time.perf_counter()
                os.fsync(descriptor)
                taken.append(time.perf_counter() - started)
        finally:
            os.close(descriptor)
            file.unlink()
    except OSError:
        return 0.0
    return statistics.median(taken)


def _fill(descriptor: int) -> None:
    left = ROOM
    while left:
        # Random bytes: a filesystem that compresses needs room for them too.
        left -= os.write(descriptor, os.urandom(min(left, 256 * 1024)))
