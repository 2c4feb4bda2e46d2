"""How the repository's scripts run programs and report: one live line, a log file, and failures of one line.

Kept to the standard library and to old syntax, because set-up runs it before anything is installed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

HEARTBEAT_SECONDS = 20.0


class ToolError(Exception):
    """What went wrong and what to do about it, in one line for the person at the terminal."""


class LiveLine:
    """Progress of one piece of work: rewritten in place on a terminal, a line now and then elsewhere."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.started = time.monotonic()
        self._live = sys.stdout.isatty()
        self._last = self.started if not self._live else 0.0
        self._open = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def update(self, text: str) -> None:
        now = time.monotonic()
        if now - self._last < (0.1 if self._live else HEARTBEAT_SECONDS):
            return
        self._last = now
        self._write(f"{self.label}: {text} ({self.seconds:.0f} s)", keep=not self._live)

    def done(self, text: str = "ready") -> None:
        self._write(f"{self.label}: {text} ({self.seconds:.1f} s)", keep=True)

    def close(self) -> None:
        if self._open:
            sys.stdout.write("\n")
            self._open = False

    def _write(self, line: str, keep: bool) -> None:
        start = "\r\x1b[K" if self._live else ""
        sys.stdout.write(start + (line[:110] if not keep else line) + ("\n" if keep else ""))
        sys.stdout.flush()
        self._open = not keep


def run_logged(
    command: Sequence[str | Path],
    log: Path,
    on_line: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> tuple[int, list[str]]:
    """Run `command` in `folder` to its end; every line goes to `log` and to `on_line`.

    Returns the exit status and the last 60 lines.
    The child has a session of its own, so that it and its compilers can be ended together.
    """
    tail: list[str] = []
    child = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **(environment or {})},
        cwd=folder,
        start_new_session=True,
    )
    assert child.stdout is not None
    try:
        with log.open("a") as file:
            file.write("$ " + " ".join(str(part) for part in command) + "\n")
            for line in child.stdout:
                file.write(line)
                tail = [*tail[-59:], line.rstrip()]
                on_line(line.rstrip())
        return child.wait(), tail
    finally:
        end_group(child)
        child.stdout.close()


def end_group(child: subprocess.Popen[str], patience_s: float = 5.0) -> None:
    """End a child that was started in its own session, with all that it started: asked first, then killed."""
    if child.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(patience_s)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
