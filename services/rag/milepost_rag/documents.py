"""The folder of documents as it is now."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from milepost_rag.errors import UnreadableError
from milepost_rag.limits import MIB, Limits

SUFFIXES = (".md", ".markdown", ".txt", ".html", ".htm", ".pdf")


@dataclass(frozen=True)
class File:
    """One document: its path relative to the folder, and a stamp that changes when the file does."""

    path: str
    stamp: str


def scan(folder: Path) -> Iterator[File]:
    """Documents below `folder`, by path. Hidden names are passed over, among them a mounted ConfigMap's `..data`."""
    for parent, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES or not _inside(path, folder):
                continue
            try:
                status = path.stat()
            except OSError:
                continue  # gone since it was listed
            if stat.S_ISREG(status.st_mode):
                yield File(path.relative_to(folder).as_posix(), _stamp(status))


def read(folder: Path, path: str, limits: Limits) -> tuple[bytes, str]:
    """(content, stamp) of a document. Raises UnreadableError when it is too big, no file, or outside of `folder`."""
    place = (folder / path).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise UnreadableError("leads out of the folder of documents")
    allowed = limits.pdf_bytes if PurePath(path).suffix.lower() == ".pdf" else limits.text_bytes
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)  # a pipe must not hold us up
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableError("is no regular file")
            data = b"" if status.st_size > allowed else file.read(allowed + 1)
            status = os.fstat(descriptor)
    except OSError as error:
        raise UnreadableError(f"cannot be opened: {error.strerror}") from None
    if max(len(data), status.st_size) > allowed:
        raise UnreadableError(f"has {status.st_size / MIB:,.1f} MiB; allowed: at most {allowed / MIB:,.0f} MiB")
    return data, _stamp(status)


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
