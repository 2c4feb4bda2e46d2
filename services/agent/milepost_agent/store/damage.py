"""Signs that a file is not what its last owner left."""

from pathlib import Path
from typing import Final

import apsw

from milepost_agent.store.evidence import Evidence, Mark, boot_id
from milepost_agent.store.migrations import tables

_MAGIC: Final = b"SQLite format 3\x00"


def missing_content(path: Path, evidence: Evidence | None) -> str:
    """What can only be seen before SQLite opens the file, in words; empty when there is nothing.

    SQLite takes a file without content for a new one, and removes the log beside it.
    """
    wal = path.with_name(path.name + "-wal")
    if not path.exists() or not path.stat().st_size:
        what = "is empty" if path.exists() else "is not there"
        if evidence is not None:
            return f"{what}, though it was in use before (epoch {evidence.epoch})"
        return f"{what}, though its log is there" if log_bytes(path) else ""
    if evidence is None or evidence.clean or wal.exists() or evidence.boot == boot_id():
        return ""
    return "its log is not there, though its last owner did not end in order"


def log_bytes(path: Path) -> int:
    """Size of the write-ahead log; 0 when there is none."""
    wal = path.with_name(path.name + "-wal")
    return wal.stat().st_size if wal.exists() else 0


def broken_header(path: Path) -> str:
    """What the header tells and SQLite does not: fields that pass for a newer format or a read-only file, and an end
    that was cut off; in words, empty when there is nothing.

    A log may hold a newer first page, and then this one counts for nothing.
    """
    if not path.is_file() or log_bytes(path):
        return ""
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(_MAGIC) or len(header) < 100:
        return ""
    versions, fractions = header[18:20], header[21:24]
    schema_format, encoding = _number(header, 44), _number(header, 56)
    if not set(versions) <= {1, 2} or fractions != bytes((64, 32, 32)) or schema_format > 4 or encoding > 3:
        return "its header is damaged"
    page = int.from_bytes(header[16:18], "big")
    expected = _number(header, 28) * (65536 if page == 1 else page)
    # The size in the header counts when it was written with the same change as the rest.
    if header[24:28] == header[92:96] and path.stat().st_size < expected:
        return f"it is cut off: {path.stat().st_size:,} of {expected:,} bytes are there"
    return ""


def _number(header: bytes, at: int) -> int:
    return int.from_bytes(header[at : at + 4], "big")


def lost_commits(connection: apsw.Connection, evidence: Evidence | None) -> str:
    """What was committed and is no longer there, in words; empty when nothing is missing.

    A torn end of the log is none: what was not acknowledged is not in the evidence. After a clean end nothing is
    compared, since somebody may have put another file in its place on purpose.
    """
    if evidence is None or evidence.clean:
        return ""
    if "meta" not in tables(connection):
        return f"it has no tables, though epoch {evidence.epoch} was committed"
    if evidence.boot == boot_id() and evidence.mark.exceeds(found := read_mark(connection)):
        return (
            f"it ends at event {found.events} and checkpoint {found.checkpoints}; "
            f"{evidence.mark.events} and {evidence.mark.checkpoints} were committed"
        )
    epoch = int(connection.execute("SELECT value FROM meta WHERE key = 'epoch'").get or 0)
    if evidence.full and epoch < evidence.epoch:
        return f"it ends in epoch {epoch}; {evidence.epoch} was committed"
    return ""


def read_mark(connection: apsw.Connection) -> Mark:
    """The newest numbers in the file."""
    found = dict(connection.execute("SELECT name, seq FROM sqlite_sequence"))
    return Mark(int(found.get("journal", 0)), int(found.get("checkpoint_order", 0)))
