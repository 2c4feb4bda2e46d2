"""`milepost ui`: where the web UI is."""

from __future__ import annotations

import os
import sys
import webbrowser

from milepost_cli.errors import NotRunningError
from milepost_cli.gateway import address
from milepost_cli.state import StateDirectory
from milepost_cli.views import write_line


def ui(state: StateDirectory, *, opening: bool) -> int:
    """Prints the address, and opens it where there is a display and `opening` asks for it. Raises NotRunningError."""
    record = state.running()
    if not record.ui:
        raise NotRunningError(
            f"no web UI runs on the state directory {state.path}; start `milepost up` without --no-ui"
        )
    here = address(state, record.ui)
    write_line(here)
    if opening and has_display():
        webbrowser.open(here)
    return 0


def has_display() -> bool:
    """Whether a browser that is opened would be seen by whoever typed the command."""
    return sys.stdout.isatty() and bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform == "darwin"
    )
