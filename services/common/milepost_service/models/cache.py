"""Files that are made once: under a lock, under a temporary name, and renamed when they are whole.

Beside each file lies `NAME.json` with the recipe it was made by and its checksum, so that a damaged
file or one of an older recipe is made again, and a good one is never touched.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp

from milepost_service.errors import ConfigurationError
from milepost_service.models.checksum import sha256_of
from milepost_service.models.progress import Progress, unheard

CACHE_DIR_VARIABLE = "MILEPOST_CACHE_DIR"


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


def make_once(file: CachedFile, make: Callable[[Path], None], progress: Progress = unheard) -> Path:
    """Return `file.path`, calling `make(temporary path)` first when no good file is there.

    Of several processes that ask at once, one makes the file and the others wait. Raises
    ConfigurationError when the folder cannot be written; errors of `make` pass through and leave
    what was there before untouched.
    """
    if file.is_good():
        return file.path
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(file.path.with_name(f".{file.path.name}.lock"), progress):
            if not file.is_good():
                _make(file, make)
    except OSError as error:
        raise ConfigurationError(
            f"{CACHE_DIR_VARIABLE}: {file.path} cannot be written: {error.strerror or error}; "
            "allowed: a folder that this process may write, with room for the model"
        ) from error
    return file.path


def _make(file: CachedFile, make: Callable[[Path], None]) -> None:
    handle, name = mkstemp(prefix=f".{file.path.name}.", suffix=".part", dir=file.path.parent)
    os.close(handle)
    part = Path(name)
    try:
        make(part)
        part.chmod(0o644)
        record = json.dumps({"recipe": file.recipe, "sha256": sha256_of(part)}, indent=2)
        _flush_to_disk(part)
        file.record_path.unlink(missing_ok=True)
        part.replace(file.path)
        _write_whole(file.record_path, record + "\n")
    finally:
        part.unlink(missing_ok=True)


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"{path.name.strip('.').removesuffix('.lock')}: waiting for another process that is making it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
