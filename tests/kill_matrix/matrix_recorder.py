"""A layer between SQLite and the disk that records what is written to a database and when it is synced."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import apsw

VFS_NAME: Final = "recorder"
_BASE: Final = "unix"
RECORD: Final = "record"
_HEAD: Final = struct.Struct("<ccQI")
_OPERATIONS: Final = {b"w": "write", b"t": "truncate", b"s": "sync", b"d": "delete"}
_FILES: Final = {b"m": "", b"w": "-wal"}


@dataclass(frozen=True)
class Entry:
    """One operation on a file: "" is the database, "-wal" its log. `end` is the size of the record with it."""

    operation: Literal["write", "truncate", "sync", "delete"]
    suffix: str
    offset: int
    data: bytes
    end: int


class _Recorder(apsw.VFS):
    """Passes everything on and appends each change to the record, which outlives the process that is killed."""

    def __init__(self, record: Path) -> None:
        self._descriptor = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        super().__init__(VFS_NAME, _BASE, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return _RecordedFile(name, flags, self, b"m")
        if flags[0] & apsw.SQLITE_OPEN_WAL:
            return _RecordedFile(name, flags, self, b"w")
        return super().xOpen(name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        if filename.endswith("-wal"):
            self.note(b"d", b"w")

    def note(self, operation: bytes, file: bytes, offset: int = 0, data: bytes = b"") -> None:
        os.write(self._descriptor, _HEAD.pack(operation, file, offset, len(data)) + data)


class _RecordedFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], recorder: _Recorder, file: bytes) -> None:
        super().__init__(_BASE, name, flags)
        self._recorder = recorder
        self._file = file

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._recorder.note(b"w", self._file, offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._recorder.note(b"t", self._file, size)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._recorder.note(b"s", self._file)


_active: list[_Recorder] = []


def record_into(folder: Path) -> None:
    """From now on every database that this process opens is recorded in `folder`."""
    _active.append(_Recorder(folder / RECORD))


def read_record(folder: Path) -> Iterator[Entry]:
    """What was recorded, in order."""
    content = (folder / RECORD).read_bytes()
    position = 0
    while position + _HEAD.size <= len(content):
        operation, file, offset, length = _HEAD.unpack_from(content, position)
        position += _HEAD.size
        data = content[position : position + length]
        position += length
        yield Entry(_OPERATIONS[operation], _FILES[file], offset, data, position)  # type: ignore[arg-type]
