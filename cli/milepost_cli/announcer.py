"""What `milepost up` says while it works: a spinner and ticks on a terminal, one plain line an event elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.status import Status
from rich.text import Text

from milepost_cli.text import printable

UNDER_WAY_SECONDS = 10.0


class Announcer:
    """Writes to standard output. A terminal that has gone away stops nothing."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._status: Status | None = None
        self._told = float("-inf")

    def line(self, text: str, style: str = "", *, mark: str = "") -> None:
        """One line, led by `mark` ("✓", "✗", "!") or two blanks."""
        with contextlib.suppress(OSError):
            self._console.print(Text.assemble((f"{mark or ' '} ", style), (printable(text), style)), soft_wrap=True)

    def heading(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._console.print(Text(printable(text), style="bold"), soft_wrap=True)

    def good(self, text: str) -> None:
        self.line(text, "green", mark="✓")

    def warn(self, text: str) -> None:
        self.line(text, "yellow", mark="!")

    @contextlib.contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Show that something takes time; only a terminal shows it."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status(text) as status:
            self._status = status
            try:
                yield
            finally:
                self._status = None

    def under_way(self, text: str) -> None:
        """How far something is: as `now` on a terminal, elsewhere a line every ten seconds."""
        if self._status is not None:
            self.now(text)
        elif time.monotonic() - self._told >= UNDER_WAY_SECONDS:
            self._told = time.monotonic()
            self.line(text)

    def now(self, text: str) -> None:
        """What is being waited for; replaces the text of `busy`."""
        if self._status is not None:
            self._status.update(printable(text))
