"""Paths on a mounted volume that someone else filled: none of them leads out of it."""

from pathlib import Path, PurePosixPath

from milepost_service.errors import ConfigurationError


def volume_path(root: Path, path: str, where: str) -> Path:
    """`path` (relative, `/`-separated) below `root`, links followed. Raises ConfigurationError when it leaves it."""
    found = (root / PurePosixPath(path)).resolve()
    if PurePosixPath(path).is_absolute() or not found.is_relative_to(root.resolve()):
        raise ConfigurationError(f"{where}: {path!r} leads out of the volume; allowed: a path that stays on it")
    return found
