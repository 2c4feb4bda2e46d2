"""How long to wait before a process that died is started again."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Backoff:
    """0.2 s, doubling to 10 s, and from the start again after a process was healthy for 30 s. All in seconds."""

    first: float = 0.2
    longest: float = 10.0
    forgiven_after: float = 30.0
    _next: float = field(init=False)

    def __post_init__(self) -> None:
        self._next = self.first

    def after(self, healthy_for: float) -> float:
        """The wait after a process that was healthy for `healthy_for` seconds died."""
        if healthy_for >= self.forgiven_after:
            self._next = self.first
        delay = self._next
        self._next = min(self._next * 2, self.longest)
        return delay
