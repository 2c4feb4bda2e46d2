"""`make run`: the review-loop example is up, one run is shown, and it all stays until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import webbrowser
from pathlib import Path

from console import ToolError
from local_mode import MILEPOST, PROMPT, ROOT, WORKFLOW, local_mode
from milepost_cli.gateway import address
from milepost_cli.state import DEFAULT_STATE, StateDirectory
from milepost_cli.ui import has_display


def show_ui(state: StateDirectory) -> None:
    """Where the web UI is, if there is one; opened where somebody sits in front of it."""
    record = state.read()
    if record is None or not record.ui:
        return
    here = address(state, record.ui)
    print(f"Look at it: {here}")
    if has_display():
        webbrowser.open(here)


def main() -> int:
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    state = StateDirectory(Path(DEFAULT_STATE))
    try:
        with local_mode(state) as up:
            command = MILEPOST.relative_to(ROOT)
            print(f'\n$ {command} run {WORKFLOW} "{PROMPT}" --follow', flush=True)
            subprocess.run([MILEPOST, "run", WORKFLOW, PROMPT, "--follow"])
            print(f'\nTalk to it from another terminal: {command} run {WORKFLOW} "what you want" --follow')
            show_ui(state)
            print(
                f"What it did: {command} get runs; {command} get run ID. Ctrl-C stops it; the state is kept.",
                flush=True,
            )
            return up.process.wait()
    except ToolError as error:
        print(f"run: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
