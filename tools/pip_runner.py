"""pip of one environment, with progress while it works and failures that say what to do."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from console import ToolError, run_logged

WORKING_ON = re.compile(r"^\s*(Collecting|Downloading|Using cached|Installing collected packages)[: ]*(\S*)")
CAUSES = (
    (r"No space left on device|Disk quota exceeded", "the disk is full; make room and run `make setup` again"),
    (
        r"DO NOT MATCH THE HASHES|hashes are required",
        "a file differs from its hash in the lock file; nothing was installed",
    ),
    (
        r"NewConnectionError|NameResolutionError|Temporary failure in name resolution|ConnectTimeout|ReadTimeout"
        r"|ProxyError|SSLError|Connection (?:refused|reset|aborted)|Max retries exceeded"
        r"|Could not find a version|No matching distribution",
        "the package index does not answer or has no such package; check network and pip settings, then run it again",
    ),
    (r"[Pp]ermission denied", "permission denied"),
    (r"CMake Error|error: command .* failed|ninja: build stopped|CMake build failed", "the compiler failed"),
)


class Pip:
    """`pip` of the environment at `python`; everything that it prints goes to `log`."""

    def __init__(self, python: Path, log: Path) -> None:
        self.python = python
        self.log = log

    @classmethod
    def in_new_environment(cls, folder: Path, log: Path) -> Pip:
        """Make a virtual environment at `folder`, over whatever is there, with the Python that runs this."""
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", folder], capture_output=True, text=True)
        if made.returncode != 0:
            said = " ".join((made.stdout + made.stderr).split())
            if "ensurepip" in said:
                raise ToolError("python: the venv module is not whole; Debian, Ubuntu: apt-get install python3-venv")
            raise ToolError(f"python -m venv {folder}: {said[-200:]}")
        return cls(folder / "bin" / "python", log)

    def install_locked(self, lock: Path, progress: Callable[[str], None]) -> None:
        """Install exactly what `lock` names, each file checked against its hashes."""
        total = sum(1 for line in lock.read_text().splitlines() if re.match(r"[\w.-]+==", line))
        seen: set[str] = set()

        def on_line(text: str) -> None:
            found = WORKING_ON.match(text)
            if not found:
                return
            if found[1] == "Installing collected packages":
                progress(f"installing {total} packages")
                return
            if found[1] == "Collecting":
                seen.add(found[2])
            progress(f"{len(seen)} of {total}, {found[2]}")

        self("install", "--no-deps", "--require-hashes", "-r", str(lock), on_line=on_line)

    def __call__(
        self,
        *arguments: str,
        on_line: Callable[[str], None] = lambda line: None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        command: list[str | Path] = [self.python, "-m", "pip", "--no-input", "--disable-pip-version-check", *arguments]
        options = {"PIP_PROGRESS_BAR": "off", "PIP_USER": "0", "PYTHONUNBUFFERED": "1", **(environment or {})}
        status, tail = run_logged(command, self.log, on_line, options)
        if status != 0:
            raise ToolError(f"pip {arguments[0]}: {_cause(tail)} (all of it: {self.log})")


def _cause(tail: list[str]) -> str:
    text = "\n".join(tail)
    for pattern, meaning in CAUSES:
        if re.search(pattern, text):
            return meaning
    errors = [line for line in tail if line.strip().lower().startswith("error")]
    return (errors or tail or ["no output"])[-1][:200]
