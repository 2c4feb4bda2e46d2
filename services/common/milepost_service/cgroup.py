"""What the container may use and what it uses, as its cgroup says it; version 2, or 1 where that is mounted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PROC = Path("/proc")
# Version 2, then version 1. Version 1 says "no limit" as the largest number of pages that fits.
_FILES = ("memory.max", "memory/memory.limit_in_bytes")
_NO_LIMIT = 2**60
_SECOND_USEC = 1_000_000
_SECOND_NSEC = 1_000_000_000


def memory_limit(root: Path = ROOT) -> int | None:
    """Bytes of memory that this container may use; None without a limit, and outside of a container."""
    for name in _FILES:
        try:
            return _limit((root / name).read_text()) or None
        except OSError:
            continue
    return None


@dataclass(frozen=True)
class CgroupFigures:
    """Bytes, CPU seconds since the cgroup was made, cores; a limit of 0 is none."""

    cpu_seconds: float
    memory_bytes: int
    """Without the cache of files that the kernel can drop."""
    cpu_limit_cores: float
    memory_limit_bytes: int
    throttled_periods: int
    oom_kills: int


@dataclass(frozen=True)
class Unified:
    """A cgroup of version 2."""

    folder: Path

    def figures(self) -> CgroupFigures:
        """Raises OSError when the kernel has no such figures for this cgroup."""
        cpu, memory = _pairs(self.folder / "cpu.stat"), _pairs(self.folder / "memory.stat")
        used = int((self.folder / "memory.current").read_text())
        return CgroupFigures(
            cpu_seconds=cpu.get("usage_usec", 0) / _SECOND_USEC,
            memory_bytes=max(used - memory.get("inactive_file", 0), 0),
            cpu_limit_cores=_quota(_text(self.folder / "cpu.max", "max 100000")),
            memory_limit_bytes=_limit((self.folder / "memory.max").read_text()),
            throttled_periods=cpu.get("nr_throttled", 0),
            oom_kills=_pairs(self.folder / "memory.events").get("oom_kill", 0),
        )


@dataclass(frozen=True)
class Divided:
    """A cgroup of version 1: a folder for each controller."""

    memory: Path
    cpu: Path
    accounting: Path

    def figures(self) -> CgroupFigures:
        """Raises OSError when the kernel has no such figures for this cgroup."""
        used = int((self.memory / "memory.usage_in_bytes").read_text())
        cached = _pairs(self.memory / "memory.stat").get("total_inactive_file", 0)
        quota = f"{_text(self.cpu / 'cpu.cfs_quota_us', '-1')} {_text(self.cpu / 'cpu.cfs_period_us', '100000')}"
        return CgroupFigures(
            cpu_seconds=int((self.accounting / "cpuacct.usage").read_text()) / _SECOND_NSEC,
            memory_bytes=max(used - cached, 0),
            cpu_limit_cores=_quota(quota),
            memory_limit_bytes=_limit((self.memory / "memory.limit_in_bytes").read_text()),
            throttled_periods=_pairs(self.cpu / "cpu.stat").get("nr_throttled", 0),
            oom_kills=_pairs(self.memory / "memory.oom_control").get("oom_kill", 0),
        )


def own_cgroup(root: Path = ROOT, proc: Path = PROC) -> Unified | Divided | None:
    """The cgroup that is this process's own; None when it is not in a container, or not alone in it.

    A process is alone when the one that started it is elsewhere: in local mode the supervisor, or a shell, shares the
    cgroup with all that it starts. A cgroup is a container's when it is all that can be seen of the tree, or has a
    limit.
    """
    own, parent = _places(proc / "self" / "cgroup"), _places(proc / _parent(proc) / "cgroup")
    if not own or own == parent:
        return None
    controllers = ("memory", "cpu", "cpuacct")
    if (root / "memory").is_dir() and all(each in own for each in controllers):
        folders = [_folder(root / each, own[each]) for each in controllers]
        found: Unified | Divided = Divided(*folders)
        is_all = not (root / "memory" / own["memory"].lstrip("/")).is_dir()
    else:
        found = Unified(_folder(root, own.get("", "/")))
        is_all = found.folder == root  # the true root of the tree has no memory.current
    try:
        figures = found.figures()
    except (OSError, ValueError):
        return None
    return found if is_all or figures.memory_limit_bytes or figures.cpu_limit_cores else None


def _folder(mount: Path, place: str) -> Path:
    """Where a cgroup is seen: below the mount, or as the mount itself where that is all a container sees."""
    folder = mount / place.lstrip("/")
    return folder if folder.is_dir() and ".." not in folder.parts else mount


def _places(file: Path) -> dict[str, str]:
    """Paths by controller; version 2 is the one without a name."""
    lines = (line.split(":", 2) for line in _text(file, "").splitlines())
    return {name: parts[2] for parts in lines if len(parts) == 3 for name in parts[1].split(",")}


def _parent(proc: Path) -> str:
    found = (line.split()[1] for line in _text(proc / "self" / "status", "").splitlines() if line.startswith("PPid:"))
    return next(found, "0")


def _pairs(file: Path) -> dict[str, int]:
    def read() -> Iterator[tuple[str, int]]:
        for line in _text(file, "").splitlines():
            name, _, value = line.partition(" ")
            if value.strip().isdigit():
                yield name, int(value)

    return dict(read())


def _text(file: Path, default: str) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return default


def _limit(text: str) -> int:
    value = text.strip()
    return int(value) if value.isdigit() and int(value) < _NO_LIMIT else 0


def _quota(text: str) -> float:
    quota, _, period = text.partition(" ")
    return int(quota) / int(period) if quota.isdigit() and int(period) > 0 else 0.0
