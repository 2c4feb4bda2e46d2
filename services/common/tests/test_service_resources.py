"""Where CPU and memory come from: made-up trees of cgroups, the process itself, and a real cgroup where one is made."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost_service.cgroup import own_cgroup
from milepost_service.telemetry.resources import Reading, ResourceReader
from milepost_service.usage import Load, UsageMeter

LIMIT = 256 * 2**20
UNIFIED = {
    "memory.current": "150000",
    "memory.stat": "anon 100000\ninactive_file 50000\n",
    "memory.max": "max",
    "memory.events": "low 0\noom 3\noom_kill 2\n",
    "cpu.stat": "usage_usec 2500000\nnr_periods 10\nnr_throttled 4\n",
    "cpu.max": "max 100000",
}
LIMITED = {**UNIFIED, "memory.max": "1000000", "cpu.max": "150000 100000"}


def tree(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def proc(folder: Path, own: str, parent: str = "", ppid: int = 7) -> Path:
    tree(folder / "self", {"cgroup": own, "status": f"Name:\tx\nPPid:\t{ppid}\n"})
    if parent:
        tree(folder / str(ppid), {"cgroup": parent})
    return folder


@pytest.mark.requirement("OBS-3")
def test_in_a_container_the_figures_are_those_of_its_cgroup(tmp_path: Path) -> None:
    """All that is seen of the tree is ours: memory without droppable cache, CPU seconds, limits, throttling, kills."""
    root = tree(tmp_path / "root", LIMITED)
    reading = ResourceReader(root, proc(tmp_path / "proc", "0::/\n", ppid=0)).read()
    assert reading == Reading(2.5, 100_000, 1.5, 1_000_000, 4, 2, source="cgroup")
    tree(root, UNIFIED)
    reading = ResourceReader(root, tmp_path / "proc").read()
    assert (reading.source, reading.cpu_limit_cores, reading.memory_limit_bytes) == ("cgroup", 0, 0)


@pytest.mark.requirement("OBS-3")
def test_a_service_of_systemd_with_limits_is_its_own_container_and_without_limits_is_none(tmp_path: Path) -> None:
    """Below the true root a cgroup counts when it has a limit; the true root, which has no figures, never."""
    processes = proc(tmp_path / "proc", "0::/system.slice/milepost.service\n", "0::/init.scope\n", ppid=1)
    unit = tree(tmp_path / "root" / "system.slice" / "milepost.service", LIMITED)
    assert ResourceReader(tmp_path / "root", processes).read().memory_limit_bytes == 1_000_000
    tree(unit, UNIFIED)
    assert own_cgroup(tmp_path / "root", processes) is None
    assert own_cgroup(tree(tmp_path / "host", {}), proc(tmp_path / "other", "0::/\n", "0::/x\n")) is None


@pytest.mark.requirement("OBS-3")
def test_what_shares_its_cgroup_with_its_starter_counts_for_itself_alone(tmp_path: Path) -> None:
    """Local mode in a container: the supervisor and its services share one cgroup, so each tells of its process."""
    root = tree(tmp_path / "root", LIMITED)
    reader = ResourceReader(root, proc(tmp_path / "proc", "0::/\n", "0::/\n", ppid=1))
    reading = reader.read()
    assert reading.source == "process"
    assert reading.memory_bytes > 1_000_000
    assert reading.cpu_seconds > 0


@pytest.mark.requirement("OBS-3")
def test_version_1_has_the_same_figures_in_other_files(tmp_path: Path) -> None:
    """Folders by controller, nanoseconds, and -1 or a huge number for no limit."""
    root = tmp_path / "root"
    memory = {
        "memory.usage_in_bytes": "150000",
        "memory.stat": "total_inactive_file 50000",
        "memory.limit_in_bytes": "1000000",
        "memory.oom_control": "oom_kill_disable 0\noom_kill 2",
    }
    tree(root / "memory", memory)
    tree(root / "cpu", {"cpu.cfs_quota_us": "150000", "cpu.cfs_period_us": "100000", "cpu.stat": "nr_throttled 4"})
    tree(root / "cpuacct", {"cpuacct.usage": "2500000000"})
    own = "4:memory:/docker/1\n2:cpu,cpuacct:/docker/1\n0::/\n"
    reader = ResourceReader(root, proc(tmp_path / "proc", own, ppid=0))
    assert reader.read() == Reading(2.5, 100_000, 1.5, 1_000_000, 4, 2, source="cgroup")
    tree(root / "memory", {"memory.limit_in_bytes": str(2**63 - 4096)})
    tree(root / "cpu", {"cpu.cfs_quota_us": "-1"})
    reading = reader.read()
    assert (reading.cpu_limit_cores, reading.memory_limit_bytes) == (0, 0)


@pytest.mark.requirement("OBS-3")
def test_children_count_with_their_process() -> None:
    """A child that computes and holds memory adds to both figures, and what it used stays when it has ended."""
    before = ResourceReader().read()
    code = "x = bytearray(64 * 2**20); sum(range(3_000_000)); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        during = ResourceReader().read()
        child.communicate(b"\n")
    after = ResourceReader().read()
    if during.source == "process":
        assert during.memory_bytes - before.memory_bytes > 60 * 2**20
    assert during.cpu_seconds > before.cpu_seconds
    assert after.cpu_seconds >= during.cpu_seconds > before.cpu_seconds


@pytest.fixture
def limited_cgroup() -> Iterator[list[Path]]:
    """Folders of a real cgroup of our own with a memory limit; skips where none can be made."""
    root = Path("/sys/fs/cgroup")
    name = f"milepost-usage-{os.getpid()}"
    first = (root / "memory").is_dir()
    folders = [root / each / name for each in ("memory", "cpu", "cpuacct")] if first else [root / name]
    made: list[Path] = []
    try:
        for folder in folders:
            folder.mkdir()
            made.append(folder)
        (folders[0] / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(LIMIT))
    except OSError as error:
        for folder in made:
            folder.rmdir()
        pytest.skip(f"no memory cgroup can be made here: {error}")
    yield folders
    for folder in folders:
        folder.rmdir()


@pytest.mark.requirement("OBS-3")
def test_a_process_in_a_real_cgroup_reads_what_the_kernel_counts(limited_cgroup: list[Path]) -> None:
    """Started into a cgroup with a limit, a process finds it by itself, and its memory and CPU in it."""
    code = """
import json, sys
from milepost_service.telemetry.resources import ResourceReader
ballast = bytearray(48 * 2**20)
print(json.dumps(vars(ResourceReader().read())))
"""

    def join() -> None:
        for folder in limited_cgroup:
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, preexec_fn=join)
    reading = json.loads(done.stdout)
    assert reading["source"] == "cgroup"
    assert reading["memory_limit_bytes"] == LIMIT
    assert 48 * 2**20 < reading["memory_bytes"] < LIMIT
    assert reading["cpu_seconds"] > 0


class _Reader(ResourceReader):
    def __init__(self) -> None:
        self.cpu_seconds = 10.0

    def read(self) -> Reading:
        return Reading(self.cpu_seconds, 1_000, 2.0, 5_000, 0, 0, source="cgroup")


@pytest.mark.requirement("OBS-3")
def test_rates_are_over_the_last_seconds_however_often_is_asked() -> None:
    """Several agents may ask in the same moment; what was used long ago no longer counts."""
    reader, now, tokens = _Reader(), [100.0], [0]
    meter = UsageMeter(lambda: Load(2, 3, tokens[0]), reader, now=lambda: now[0])
    for _ in range(20):
        now[0] += 2.0
        reader.cpu_seconds += 3.0
        tokens[0] += 80
        meter.read()
        usage = meter.read()
    assert (usage.cpu_cores, usage.tokens_per_second) == (1.5, 40.0)
    assert (usage.memory_bytes, usage.memory_limit_bytes, usage.cpu_limit_cores) == (1_000, 5_000, 2.0)
    assert (usage.active_calls, usage.queued_calls, usage.source) == (2, 3, "cgroup")
    for _ in range(6):
        now[0] += 2.0
        usage = meter.read()
    assert (usage.cpu_cores, usage.tokens_per_second) == (0, 0)
