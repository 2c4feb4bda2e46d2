"""Files that are made once: under a lock, under a temporary name, and renamed when they are whole.

Beside each file lies `NAME.json` with the recipe it was made by and its checksum, so that a damaged
file or one of an older recipe is made again, and a good one is never touched.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp
from typing import IO

from milepost_service.errors import ConfigurationError
from milepost_service.models.checksum import sha256_of
from milepost_service.models.progress import Progress, unheard

CACHE_DIR_VARIABLE = "MILEPOST_CACHE_DIR"
LOCK_SECONDS = 0.5
"""Between two looks at a lock that another process holds."""


def default_cache_dir() -> Path:
    """`MILEPOST_CACHE_DIR`, or `~/.cache/milepost`."""
    configured = os.environ.get(CACHE_DIR_VARIABLE)
    return Path(configured).expanduser() if configured else Path.home() / ".cache" / "milepost"


@dataclass(frozen=True)
class CachedFile:
    """A file of the cache and the recipe (input checksum, settings, version of the maker) that it must come from."""

    path: Path
    recipe: str

    @property
    def record_path(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def is_good(self) -> bool:
        """Whether the file is there, made by this recipe, and unchanged since."""
        try:
            record = json.loads(self.record_path.read_text())
            return (
                isinstance(record, dict)
                and record.get("recipe") == self.recipe
                and record.get("sha256") == sha256_of(self.path)
            )
        except (OSError, ValueError):
            return False


def make_once(
    file: CachedFile,
    make: Callable[[Path], str | None],
    progress: Progress = unheard,
    *,
    goes_on: bool = False,
    waiting: Callable[[Path], None] = lambda part: None,
) -> Path:
    """Return `file.path`, calling `make(temporary path)` first when no good file is there.

    `make` returns the SHA-256 of what it wrote if it knows it. With `goes_on` what an attempt that failed has written
    lies at the temporary path of the next one. Of several processes that ask at once, one makes the file; the others
    wait, and call `waiting(temporary path)` meanwhile. Raises ConfigurationError when the folder cannot be written;
    errors of `make` pass through and leave what was there before untouched.
    """
    if file.is_good():
        return file.path
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        lasting = file.path.with_name(f".{file.path.name}.part")
        with _locked(file.path.with_name(f".{file.path.name}.lock"), progress, lambda: waiting(lasting)):
            if not file.is_good():
                with contextlib.nullcontext(lasting) if goes_on else _passing(file.path) as part:
                    _make(file, make, part)
    except OSError as error:
        raise ConfigurationError(
            f"{CACHE_DIR_VARIABLE}: {file.path} cannot be written: {error.strerror or error}; "
            "allowed: a folder that this process may write, with room for the model"
        ) from error
    return file.path


@contextmanager
def _passing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what lies there in the end is removed."""
    handle, name = mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _make(file: CachedFile, make: Callable[[Path], str | None], part: Path) -> None:
    digest = make(part) or sha256_of(part)
    part.chmod(0o644)
    _flush_to_disk(part)
    # The record first: a kill in between leaves a part that is whole, and not a file that nobody trusts.
    write_whole(file.record_path, json.dumps({"recipe": file.recipe, "sha256": digest}, indent=2) + "\n")
    part.replace(file.path)


def write_whole(path: Path, text: str) -> None:
    """Writes a text so that others see all of it or what was there before."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _locked(path: Path, progress: Progress, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the lock, which the kernel takes back from a process that is killed."""
    with path.open("a") as file:
        told = False
        while not _try_lock(file):
            if not told:
                progress(f"{path.name.strip('.').removesuffix('.lock')}: waiting for another process that is making it")
            told = True
            waiting()
            time.sleep(LOCK_SECONDS)
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
