"""How long-running preparation speaks: one line at a time, to whoever listens, and how far a download is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[str], None]

_UNITS = ("KiB", "MiB", "GiB", "TiB")


def unheard(line: str) -> None:
    """Progress that nobody listens to."""


@dataclass(frozen=True)
class Transfer:
    """How far a download is: bytes of the file that are there, and bytes a second, 0.0 while not known."""

    name: str
    done: int
    total: int
    rate: float = 0.0
    by_another: bool = False
    """Whether another process fetches the file, and this one waits for it."""

    def __str__(self) -> str:
        share = f"{100 * self.done // self.total if self.total else 100} % of {readable(self.total)}"
        facts = [share]
        if self.rate:
            facts += [f"{readable(self.rate)}/s", f"{_duration((self.total - self.done) / self.rate)} left"]
        if self.by_another:
            facts.append("fetched by another process")
        return f"{self.name}: downloading, {', '.join(facts)}"


Watch = Callable[[Transfer], None]


def unwatched(transfer: Transfer) -> None:
    """A download that nobody watches."""


def readable(count: float) -> str:
    """A number of bytes for people, for example `4.9 GiB`."""
    if count < 1024:
        return f"{count:.0f} bytes"
    power = min(int(math.log(count, 1024)), len(_UNITS))
    return f"{count / 1024**power:.1f} {_UNITS[power - 1]}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
