"""CPU and memory: of the container where the process has one of its own, else of the process and its children."""

import contextlib
import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from milepost_service.cgroup import PROC, ROOT, CgroupFigures, own_cgroup

Source = Literal["cgroup", "process"]
_CHILDREN_SECONDS = 5.0  # looking for children goes through all processes of the machine


@dataclass(frozen=True)
class Reading(CgroupFigures):
    """What is used at this moment, and whose it is. Limits, throttling and kills are 0 outside of a container."""

    source: Source


class ResourceReader:
    """Takes readings. Which source it has is found out once: a shell that joins a container later changes nothing."""

    def __init__(self, root: Path = ROOT, proc: Path = PROC) -> None:
        self._cgroup = own_cgroup(root, proc)
        self._process = psutil.Process()
        self._children: list[psutil.Process] = []
        self._looked = float("-inf")

    def read(self) -> Reading:
        """Takes well under a millisecond."""
        if self._cgroup is not None:
            with contextlib.suppress(OSError, ValueError):
                return Reading(**vars(self._cgroup.figures()), source="cgroup")
        return self._read_process()

    def _read_process(self) -> Reading:
        now = time.monotonic()
        if now - self._looked > _CHILDREN_SECONDS:
            self._looked = now
            self._children = self._process.children(recursive=True)
        cpu, memory = _use(self._process)
        ended = self._process.cpu_times()
        cpu += ended.children_user + ended.children_system
        for child in self._children:
            with contextlib.suppress(psutil.Error):
                child_cpu, child_memory = _use(child)
                cpu, memory = cpu + child_cpu, memory + child_memory
        return Reading(cpu, memory, 0.0, 0, 0, 0, source="process")


@functools.cache
def process_resources() -> ResourceReader:
    """The reader of this process."""
    return ResourceReader()


def _use(process: psutil.Process) -> tuple[float, int]:
    times = process.cpu_times()
    return times.user + times.system, process.memory_info().rss
