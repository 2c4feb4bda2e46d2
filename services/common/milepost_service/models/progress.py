"""How long-running preparation speaks: one line at a time, to whoever listens."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]


def unheard(line: str) -> None:
    """Progress that nobody listens to."""
