"""The real `milepost` command as a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Milepost = Callable[..., subprocess.CompletedProcess[str]]
LIMIT = 60.0  # seconds; only a hang takes as long


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "milepost_cli", *map(str, arguments)]
