"""What the container may use, as its cgroup says it."""

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# Version 2, then version 1. Version 1 says "no limit" as the largest number of pages that fits.
_FILES = ("memory.max", "memory/memory.limit_in_bytes")
_NO_LIMIT = 2**60


def memory_limit(root: Path = ROOT) -> int | None:
    """Bytes of memory that this container may use; None without a limit, and outside of a container."""
    for name in _FILES:
        try:
            text = (root / name).read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None
    return None
