"""Changes below a folder, told by the kernel (inotify) and not by looking again and again.

A mounted ConfigMap changes by one rename of `..data`, in the folder itself. Network file systems do not tell what
other machines write, and other kernels know no inotify: whoever waits sets a time after which to look anyway.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import struct
from pathlib import Path
from types import TracebackType

_CLOSE_WRITE, _MODIFY, _ATTRIB = 0x8, 0x2, 0x4
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _ONLY_DIRECTORY = 0x400, 0x800, 0x01000000
_MASK = (
    _CLOSE_WRITE | _MODIFY | _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
    | _ONLY_DIRECTORY
)  # fmt: skip
_EVENT = struct.Struct("iIII")
_SWAPPED = "..data"
_QUIET_SECONDS = 0.3
_LONGEST_SECONDS = 10.0
_log = logging.getLogger(__name__)


class FolderWatch:
    """Watches a folder, what is below it, and its own name; within one event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changed = asyncio.Event()
        self._only: dict[int, str] = {}
        self._told = False
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = -1
        if hasattr(self._libc, "inotify_init1"):
            self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor >= 0:
            asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        else:
            _log.warning("the kernel does not tell of changes in %s; it is looked at now and then", folder)

    def __enter__(self) -> "FolderWatch":
        self.follow()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    async def changed(self, seconds: float) -> bool:
        """True when something changed and nothing has for a moment; false when nothing did within `seconds`."""
        told = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                told = await self._changed.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_SECONDS):
                while self._changed.is_set():
                    self._changed.clear()
                    await asyncio.sleep(_QUIET_SECONDS)
        self.follow()
        return told

    def follow(self) -> None:
        """Watches the folders that are there now; harmless for those that are watched already."""
        self._watch(self._folder.parent, only=self._folder.name)
        for parent, names, _ in os.walk(self._folder):
            names[:] = [name for name in names if not name.startswith(".")]
            self._watch(Path(parent))

    def _watch(self, folder: Path, only: str = "") -> None:
        if self._descriptor < 0:
            return
        watch = self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _MASK)
        if watch >= 0:
            self._only[watch] = only
        elif not self._told:
            self._told = True
            _log.warning("changes in %s are not told: %s", folder, os.strerror(ctypes.get_errno()))

    def _read(self) -> None:
        """Takes what the kernel has to tell; names that are no documents change nothing."""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._descriptor, 1 << 16)
            at = 0
            while at < len(data):
                watch, _, _, length = _EVENT.unpack_from(data, at)
                name = os.fsdecode(data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0"))
                at += _EVENT.size + length
                only = self._only.get(watch, "")
                if name == only if only else not name.startswith(".") or name == _SWAPPED:
                    self._changed.set()
