"""The size of the file: pages that are free go back to the disk in small steps, but for some that are used again."""

import logging
from pathlib import Path
from typing import Final

import apsw

from milepost_agent.store.database import Transaction

SPARE_PAGES: Final = 1024
"""Free pages that stay, as does a quarter of the file: the next runs need them again."""
CONVERTIBLE_BYTES: Final = 64 * 1024 * 1024
_INCREMENTAL: Final = 2

_log = logging.getLogger(__name__)


def surplus(connection: apsw.Connection) -> int:
    """How many free pages may be given back; 0 for a file that cannot give any back."""
    if connection.pragma("auto_vacuum") != _INCREMENTAL:
        return 0
    free, total = int(connection.pragma("freelist_count")), int(connection.pragma("page_count"))
    return max(0, free - max(SPARE_PAGES, total // 4))


def release(transaction: Transaction, pages: int) -> int:
    """Gives up to so many free pages back to the disk. Returns how many bytes these are."""
    connection = transaction.connection
    before = int(connection.pragma("page_count"))
    transaction.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
    return (before - int(connection.pragma("page_count"))) * int(connection.pragma("page_size"))


def prepare(connection: apsw.Connection) -> None:
    """Lets a file that is about to be made be one that can shrink; no other is changed."""
    connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")


def convert(connection: apsw.Connection, path: Path) -> None:
    """Rewrites a file that cannot shrink as one that can, if it is small enough to be rewritten at once.

    A larger one stays as it is: its free pages are used again, but never given back.
    """
    if connection.pragma("auto_vacuum") == _INCREMENTAL:
        return
    size = int(connection.pragma("page_count")) * int(connection.pragma("page_size"))
    if size > CONVERTIBLE_BYTES:
        _log.info("%s: %d MiB that were laid out to be reused but never to shrink: left as it is", path, size >> 20)
        return
    try:
        prepare(connection)
        connection.execute("VACUUM")
    except apsw.FullError as error:
        _log.warning("%s: cannot be rewritten so that it can shrink: %s", path, error)
