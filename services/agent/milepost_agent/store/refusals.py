"""Why a disk refused: in one line for people, in one word for metrics."""

import errno
import os
from typing import Final

import apsw

from milepost_agent.errors import StoreCorrupt, StoreError, StoreFenced, StoreWriteError

_BY_ERRNO: Final = {
    errno.ENOSPC: "DiskFull",
    errno.EDQUOT: "DiskFull",
    errno.EFBIG: "DiskFull",
    errno.EROFS: "ReadOnly",
    errno.EIO: "DiskError",
}
_BY_TYPE: Final = (
    (apsw.FullError, "DiskFull"),
    (apsw.ReadOnlyError, "ReadOnly"),
    (apsw.IOError, "DiskError"),
    (apsw.CorruptError, "Corrupt"),
    (StoreCorrupt, "Corrupt"),
    (StoreFenced, "Fenced"),
)


def write_error(name: str, cause: BaseException, connection: apsw.Connection) -> StoreWriteError:
    """The failure of a commit to the file of that name, with what the system said where SQLite only says I/O error."""
    number = connection.system_errno if isinstance(cause, apsw.IOError) else 0
    said = f" ({os.strerror(number)})" if number else ""
    failure = StoreWriteError(f"{name}: cannot write: {cause}{said}", number)
    failure.__cause__ = cause
    return failure


def failure_reason(failure: StoreError) -> str:
    """DiskFull, ReadOnly, DiskError, Corrupt, Fenced, or Other."""
    cause = failure.__cause__
    number = failure.errno if isinstance(failure, StoreWriteError) else getattr(cause, "errno", 0)
    if number in _BY_ERRNO:
        return _BY_ERRNO[number]
    return next((word for kind, word in _BY_TYPE if isinstance(failure, kind) or isinstance(cause, kind)), "Other")
