"""What tests of the supervisor share: one over a plan of processes, and what it writes of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cli_process import LIMIT

from milepost_cli.state import StateDirectory, UpRecord

SUPERVISE = Path(__file__).with_name("cli_supervise.py")
Up = Callable[[Sequence[dict[str, Any]]], "subprocess.Popen[str]"]


def supervisor_of(directory: StateDirectory, plan: Path, processes: Sequence[dict[str, Any]]) -> subprocess.Popen[str]:
    """A supervisor in a process of its own; the plan is written to a file first."""
    plan.write_text(json.dumps(processes))
    command = [sys.executable, str(SUPERVISE), str(directory.path), str(plan)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(directory: StateDirectory, condition: Callable[[UpRecord], bool]) -> UpRecord:
    """The first record that fulfils the condition; fails with the last one seen."""
    deadline = time.monotonic() + LIMIT
    record = None
    while time.monotonic() < deadline:
        record = directory.read() if directory.is_owned() else None
        if record is not None and condition(record):
            return record
        time.sleep(0.02)
    raise AssertionError(f"never came to be; last seen: {record}")


def is_ready(record: UpRecord) -> bool:
    return record.state == "ready" and all(child.state == "ready" for child in record.processes.values())
