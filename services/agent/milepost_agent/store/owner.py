"""One process owns the file: a lock beside it, and refusal of places and SQLite builds that cannot keep it safe."""

import contextlib
import errno
import fcntl
import os
import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import Final

from milepost_agent.errors import StoreLocked, StoreNotWritable, StoreUnavailable, UnsupportedSqlite
from milepost_agent.store.evidence import MARK_BYTES, RECORD_BYTES, Evidence, Mark

OLDEST_SQLITE: Final = (3, 51, 3)
_NETWORK: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse", "fuseblk", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3"}
    | {"smbfs"}
)
_PASSING: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_MOUNTS: Final = Path("/proc/self/mountinfo")
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


def require_sqlite(version: str) -> None:
    """Refuses SQLite builds that can corrupt a WAL database when it is checkpointed and written at once.

    Raises:
        UnsupportedSqlite: older than 3.51.3.
    """
    if tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise UnsupportedSqlite(
            f"SQLite {version} can corrupt the database (WAL-reset bug); {oldest} or newer is needed"
        )


def filesystem_type(folder: Path) -> str:
    """Name of the filesystem that holds a folder, for example "ext4"; empty where the system does not tell."""
    try:
        lines = _MOUNTS.read_text().splitlines()
    except OSError:
        return ""
    real = folder.resolve()
    best, kind = -1, ""
    for line in lines:
        left, _, right = line.partition(" - ")
        point = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), left.split()[4]))
        if real.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), right.split()[0]
    return kind


def require_local(path: Path) -> None:
    """Refuses filesystems on which WAL's shared memory and locks do not hold.

    Raises:
        StoreUnavailable: the folder of the path is on a network or FUSE filesystem.
    """
    kind = filesystem_type(path.parent)
    if kind in _NETWORK or kind.startswith("fuse."):
        raise StoreUnavailable(f"{path}: the filesystem is {kind}; a local disk or block volume is needed")


def unavailable(path: Path, what: str, error: OSError) -> StoreUnavailable:
    """What to raise when the system refuses something, in one line; `what` is done to the path, in the past tense."""
    kind = StoreNotWritable if error.errno in _PASSING else StoreUnavailable
    return kind(f"{path}: cannot be {what}: {error.strerror}")


class Ownership:
    """An exclusive lock on `PATH.lock`, held until `release` or the end of the process.

    The lock file tells more than who has the file. `evidence` is what the owner before left, until this one records
    something; None when there was none.
    """

    def __init__(self, descriptor: int, holder: str, evidence: Evidence | None) -> None:
        self._descriptor = descriptor
        self._holder = holder
        self.evidence = evidence

    @classmethod
    def acquire(cls, path: Path) -> "Ownership":
        """Takes the lock without waiting; what the owner before left stays as it is.

        Raises:
            StoreLocked: another owner has it; the message names its process.
            StoreUnavailable: the lock file cannot be written.
        """
        lock = path.with_name(path.name + ".lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise unavailable(path, "written", error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, RECORD_BYTES, 0).decode(errors="replace").partition("\n")[0].strip()
            os.close(descriptor)
            told = holder or "an unknown process"
            raise StoreLocked(f"{path}: in use by {told}; one process at a time can own it") from error
        except OSError as error:
            os.close(descriptor)
            raise unavailable(path, "locked", error) from error
        try:
            previous = Evidence.decode(os.pread(descriptor, RECORD_BYTES + MARK_BYTES, 0))
            ownership = cls(descriptor, f"pid {os.getpid()} on {socket.gethostname()}", previous)
            ownership._write()
        except OSError as error:
            os.close(descriptor)
            raise unavailable(path, "written", error) from error
        return ownership

    def record(self, evidence: Evidence) -> None:
        """Makes durable what the next owner has to know. Raises OSError."""
        self.evidence = evidence
        self._write()
        os.fsync(self._descriptor)

    def record_clean(self) -> None:
        """Notes that everything is in the database file and nothing more will be written. Raises OSError."""
        if self.evidence is not None:
            content = os.pread(self._descriptor, MARK_BYTES, RECORD_BYTES)
            self.record(replace(self.evidence, clean=True, mark=Mark.decode(content)))

    def record_suspect(self) -> None:
        """Has the next owner check the whole file before it goes on. Raises OSError."""
        if self.evidence is not None:
            content = os.pread(self._descriptor, MARK_BYTES, RECORD_BYTES)
            self.record(replace(self.evidence, suspect=True, mark=Mark.decode(content)))

    def mark(self, mark: Mark) -> None:
        """Notes what was committed, without a sync. A mark that cannot be written is left out: it is no promise."""
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, mark.encode(), RECORD_BYTES)

    def release(self) -> None:
        os.close(self._descriptor)

    def _write(self) -> None:
        # One call and never shorter than before: a kill leaves the old record or the new one.
        if self.evidence is not None:
            os.pwrite(self._descriptor, self.evidence.encode(self._holder), 0)
        else:
            os.pwrite(self._descriptor, f"{self._holder}\n".ljust(RECORD_BYTES).encode(), 0)
