"""Whether SQLite finds the file sound: at once where that is needed or quick, and otherwise beside the work."""

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from milepost_agent.errors import StoreCorrupt
from milepost_agent.store.evidence import Evidence, boot_id

AT_ONCE_BYTES: Final = 64 * 1024 * 1024
"""A file up to this size is always checked before it is used; that takes a tenth of a second."""
DELAY: Final = 5.0
"""Seconds of rest before a check beside the work begins: what is resumed comes first."""

_log = logging.getLogger(__name__)


def check_first(path: Path, evidence: Evidence | None) -> bool:
    """Whether the whole file is to be checked before anything is done with it.

    The time of a check grows with the file, and no run may wait for those that have ended. A process that dies leaves
    no torn page behind, a machine that dies may.
    """
    if path.stat().st_size <= AT_ONCE_BYTES or evidence is None or evidence.suspect:
        return True
    return not evidence.clean and evidence.boot != boot_id()


def check(connection: apsw.Connection) -> None:
    """Reads the whole file. Raises StoreCorrupt with the damage alone."""
    found = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        said = [line for line in str(found[0]).splitlines() if not line.startswith("***")]
        raise StoreCorrupt(said[0] if said else "quick_check finds a damage")


class BackgroundCheck:
    """Checks a file that is in use already, once, on a thread and a connection of its own."""

    def __init__(self, path: Path, damaged: Callable[[str], None]) -> None:
        """`damaged` is called on the thread, with the damage in words."""
        self._path = path
        self._damaged = damaged
        self._stop = threading.Event()
        self._connection: apsw.Connection | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="store-check", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it where it is; blocks until it has ended."""
        self._stop.set()
        with self._lock:
            if self._connection is not None:
                self._connection.interrupt()
        self._thread.join()

    def _run(self) -> None:
        if self._stop.wait(DELAY):
            return
        try:
            connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            with contextlib.closing(connection):
                self._check(connection)
        except (StoreCorrupt, apsw.CorruptError, apsw.NotADBError) as error:
            self._damaged(str(error))
        except apsw.InterruptError:
            return
        except apsw.Error as error:
            _log.warning("%s: was not checked: %s", self._path, error)

    def _check(self, connection: apsw.Connection) -> None:
        with self._lock:
            if self._stop.is_set():
                return
            self._connection = connection
        try:
            check(connection)
        finally:
            with self._lock:
                self._connection = None
