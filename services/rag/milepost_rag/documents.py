"""The folder of documents as it is now."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".md", ".markdown", ".txt")
MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class File:
    """One document: its path relative to the folder, and a stamp that changes when the file does."""

    path: str
    stamp: str
    size: int


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
            stamp = f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
            yield File(path.relative_to(folder).as_posix(), stamp, status.st_size)


def read(folder: Path, path: str) -> tuple[str, str]:
    """(SHA-256 in hex, text); bytes that are not UTF-8 are replaced. Raises OSError."""
    data = (folder / path).read_bytes()
    return hashlib.sha256(data).hexdigest(), data.decode("utf-8-sig", errors="replace")


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
