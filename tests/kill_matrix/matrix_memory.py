"""A memory cgroup for an agent that the kernel is to kill for its memory; version 1 or 2, where one can be made."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LIMIT_BYTES: Final = 160 * 2**20
_ROOT: Final = Path("/sys/fs/cgroup")


@dataclass
class MemoryLimit:
    """A cgroup of our own. `folder` is joined by writing a pid into its `cgroup.procs`."""

    folder: Path
    kills_file: str
    _kills: int = field(default=0)

    @classmethod
    def make(cls, name: str) -> "MemoryLimit":
        """Makes it, limited to `LIMIT_BYTES`.

        Raises:
            OSError: no cgroup of the memory controller can be made here.
        """
        first = (_ROOT / "memory" / "memory.limit_in_bytes").exists()
        parent = _ROOT / "memory" if first else _ROOT
        if not first:
            (_ROOT / "cgroup.subtree_control").write_text("+memory")
        folder = parent / f"milepost-{os.getpid()}-{name}"
        folder.mkdir()
        limit = folder / ("memory.limit_in_bytes" if first else "memory.max")
        try:
            limit.write_text(str(LIMIT_BYTES))
            if not first:
                (folder / "memory.swap.max").write_text("0")
        except OSError:
            folder.rmdir()
            raise
        return cls(folder, "memory.oom_control" if first else "memory.events")

    def killed(self) -> bool:
        """Whether the kernel has killed one more process in it since the last time."""
        before, self._kills = self._kills, self._count()
        return self._kills > before

    def remove(self) -> None:
        self.folder.rmdir()

    def _count(self) -> int:
        lines = (self.folder / self.kills_file).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def unavailable() -> str:
    """Why no memory cgroup can be made here, in one line; empty when one can."""
    try:
        MemoryLimit.make("probe").remove()
    except OSError as error:
        return f"no memory cgroup can be made ({error.strerror}: {error.filename})"
    return ""
