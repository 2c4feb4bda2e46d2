"""Agents and services without the time of an import: one process imports everything once and forks each of them."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

PROCESS = Path(__file__).with_name("matrix_zygote_process.py")
AGENT = "agent"


class Launcher(Protocol):
    """Starts processes and buries them."""

    def fork(
        self,
        program: str,
        environment: Mapping[str, str],
        log: Path,
        *,
        cgroup: Path | None = None,
        recording: Path | None = None,
    ) -> int: ...

    def reap(self, pid: int) -> int: ...


@dataclass
class Commands:
    """A launcher of agents as a person or a pod starts them; the control of what the zygote's children show."""

    running: "dict[int, subprocess.Popen[bytes]]" = field(default_factory=dict)

    def fork(
        self,
        program: str,
        environment: Mapping[str, str],
        log: Path,
        *,
        cgroup: Path | None = None,
        recording: Path | None = None,
    ) -> int:
        """Executes `python -m milepost_agent` and returns its pid."""
        assert program == AGENT and not cgroup and not recording
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [sys.executable, "-m", "milepost_agent"],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.running[popen.pid] = popen
        return popen.pid

    def reap(self, pid: int) -> int:
        return self.running.pop(pid).wait()


@dataclass
class Zygote:
    """The client's side; may be used by several threads."""

    process: "subprocess.Popen[str]"
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def start(cls) -> "Zygote":
        pipe = subprocess.PIPE
        command = [sys.executable, str(PROCESS)]
        return cls(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))

    def fork(
        self,
        program: str,
        environment: Mapping[str, str],
        log: Path,
        *,
        cgroup: Path | None = None,
        recording: Path | None = None,
    ) -> int:
        """Starts a child and returns its pid.

        Args:
            program: "agent", or the path of a script.
            environment: Adds to this process's own.
            log: Gets what it writes.
            cgroup: A memory cgroup (its folder) that it joins before it begins.
            recording: Folder for a record of what SQLite writes and syncs.
        """
        order = {"program": program, "environment": dict(environment), "log": str(log)}
        return self._order(order | {"cgroup": str(cgroup or ""), "recording": str(recording or "")})

    def reap(self, pid: int) -> int:
        """Exit status of a child that has ended; negative: killed by that signal."""
        return self._order({"reap": pid})

    def stop(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def _order(self, order: Mapping[str, object]) -> int:
        assert self.process.stdin and self.process.stdout
        with self.lock:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            return int(self.process.stdout.readline())
