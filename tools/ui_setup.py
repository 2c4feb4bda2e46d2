"""The UI within set-up: built by a process of its own while a compiler works, and never a reason to fail."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

from console import LiveLine, end_group
from ui_build import UiBuild

COMMAND = (sys.executable, str(Path(__file__).with_name("ui.py")), "build", "--tell")
WITHOUT = "Milepost works without it; `make ui` tries again"


class UiInBackground:
    """A context: what was begun in it is ended with it."""

    def __init__(self, ui: UiBuild) -> None:
        self.ui = ui
        self._child: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self._told = ""

    @property
    def key(self) -> str:
        """What set-up remembers: changes with the sources, and with whether they are built."""
        return self.ui.key if self.ui.is_current else f"not built {self.ui.key}"

    def begin(self) -> None:
        self._child = subprocess.Popen(
            COMMAND,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, args=(self._child,), daemon=True)
        self._listener.start()

    def finish(self) -> None:
        """Wait for the end, with progress; tells in one line when there is no UI now."""
        if self._child is None or self._listener is None:
            return
        line = LiveLine("ui")
        while self._listener.is_alive():
            line.update(self._told or "preparing")
            self._listener.join(0.2)
        if self._child.wait() == 0:
            line.done("built")
        else:
            line.done(f"not built: {self._told.removeprefix('ui: ')}; {WITHOUT}")

    def __enter__(self) -> UiInBackground:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None and self._child.stdout is not None:
            end_group(self._child)
            self._child.wait()
            self._child.stdout.close()

    def _listen(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for text in child.stdout:
            self._told = text.strip() or self._told
