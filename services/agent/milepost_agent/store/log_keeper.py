"""Keeps the write-ahead log short: moves it into the database, and has it begin anew though somebody always reads."""

import logging
from typing import Final

import apsw

MOVED_PAGES: Final = 1_000
"""From so many pages on, a commit moves what no reader needs any more; SQLite's own default."""
LONG_PAGES: Final = 2_000
"""From so many on, readers that overlap without end have kept the log from beginning anew."""
RETRY_PAGES: Final = 100
"""After so many more it is tried again, then after twice as many, and so on: a reader that stays, such as a backup,
is not waited for at every commit."""
RESTART_MILLISECONDS: Final = 20
"""How long a commit may wait for the readers that are there; those that come meanwhile need the log no more."""

_log = logging.getLogger(__name__)


class LogKeeper:
    """SQLite's WAL hook of one writing connection, called on its thread after each commit."""

    def __init__(self, connection: apsw.Connection, busy_milliseconds: int) -> None:
        self._busy_milliseconds = busy_milliseconds
        self._long: int
        self._pause: int
        self._begin_anew()
        connection.set_wal_hook(self._committed)

    def _committed(self, connection: apsw.Connection, database: str, pages: int) -> int:
        if pages < LONG_PAGES:
            self._begin_anew()
        try:
            if pages >= self._long:
                self._long, self._pause = pages + self._pause, 2 * self._pause
                connection.set_busy_timeout(RESTART_MILLISECONDS)
                connection.wal_checkpoint(database, mode=apsw.SQLITE_CHECKPOINT_RESTART)
            elif pages >= MOVED_PAGES:
                connection.wal_checkpoint(database, mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            # What was committed is in the log and synced: it is only moved later.
            _log.debug("the log was not moved: %s", error)
        finally:
            connection.set_busy_timeout(self._busy_milliseconds)
        return int(apsw.SQLITE_OK)

    def _begin_anew(self) -> None:
        self._long, self._pause = LONG_PAGES, RETRY_PAGES
