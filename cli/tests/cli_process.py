"""The real `milepost` command as a process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from milepost_cli.state import StateDirectory, UpRecord

Milepost = Callable[..., subprocess.CompletedProcess[str]]
LIMIT = 60.0  # seconds; only a hang takes as long


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "milepost_cli", *map(str, arguments)]


def until_ready(supervisor: subprocess.Popen[str], directory: StateDirectory) -> UpRecord:
    """Waits until `milepost up` says that all is ready; AssertionError with its output when it never is."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline and supervisor.poll() is None:
        record = directory.read()
        if record is not None and record.state == "ready":
            return record
        time.sleep(0.05)
    supervisor.terminate()
    raise AssertionError(f"never was up: {supervisor.communicate()}")
