"""How this command was called, so that it can be called again the same way."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

NAME = "milepost"


def program() -> str:
    """`milepost` when that is what a shell would find, else the shortest path to the command that runs."""
    running = Path(sys.argv[0])
    found = shutil.which(NAME)
    if running.name != NAME or (found and Path(found).resolve() == running.resolve()):
        return NAME
    here = Path.cwd()
    return str(running.relative_to(here)) if running.is_relative_to(here) else str(running)
