"""`milepost down`: asks the living supervisor to stop, and waits until it has."""

from __future__ import annotations

import os
import signal
import time

from milepost_cli.errors import NotRunningError, StateError
from milepost_cli.state import StateDirectory
from milepost_cli.views import write_line

PATIENCE = 45.0  # seconds; agents, then services, each within the supervisor's grace


def down(state: StateDirectory) -> int:
    """Raises NotRunningError when nothing runs, StateError when the supervisor does not stop."""
    record = state.running()
    try:
        os.kill(record.pid, signal.SIGTERM)
    except ProcessLookupError:
        raise NotRunningError(f"nothing runs on the state directory {state.path} any more") from None
    except PermissionError:
        raise StateError(f"{state.path}: pid {record.pid} belongs to another user; stop it as that user") from None
    deadline = time.monotonic() + PATIENCE
    while state.is_owned():
        if time.monotonic() > deadline:
            raise StateError(
                f"{state.path}: pid {record.pid} has not stopped within {PATIENCE:.0f} s; "
                f"`kill -9 {record.pid}` ends it and all it started, and loses nothing that was committed"
            )
        time.sleep(0.05)
    write_line(f"stopped; the state is kept in {state.path}")
    return 0
