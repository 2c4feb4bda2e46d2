"""`milepost up` as a child of a script: ready when the block begins, gone when it ends, however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from console import ToolError, end_group
from milepost_cli.state import StateDirectory
from milepost_service import launcher

ROOT = Path(__file__).resolve().parent.parent
MILEPOST = Path(sys.executable).parent / "milepost"
EXAMPLE = ROOT / "examples" / "review-loop"
WORKFLOW = "review-loop"
PROMPT = "What does our handbook say about error messages? Write a matching exception class."
READY_SECONDS = 180.0
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class LocalMode:
    """A `milepost up` that is ready."""

    state: StateDirectory
    process: subprocess.Popen[str]


@contextmanager
def local_mode(state: StateDirectory, *options: str) -> Iterator[LocalMode]:
    """Run the review-loop example on `state`, with more `options` of `milepost up`.

    Raises ToolError when it does not become ready; it has said why.
    It has a session of its own, so that Ctrl-C reaches it only through the end of this block, and it dies with
    this process.
    """
    starter = [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid())]
    command = [str(MILEPOST), "up", str(EXAMPLE.relative_to(ROOT)), "--state", str(state.path), *options]
    process = subprocess.Popen([*starter, *command], text=True, start_new_session=True)
    try:
        _wait_until_ready(process, state)
        yield LocalMode(state, process)
    finally:
        end_group(process, STOP_SECONDS)


def _wait_until_ready(process: subprocess.Popen[str], state: StateDirectory) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ToolError(f"`milepost up` ended with exit code {process.returncode}")
        record = state.read()
        if record and record.state == "ready" and record.pid == process.pid:
            return
        time.sleep(0.05)
    raise ToolError(f"`milepost up` was not ready after {READY_SECONDS:.0f} s; logs are in {state.logs}")
