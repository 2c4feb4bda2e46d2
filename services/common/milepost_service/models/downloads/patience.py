"""How long a download waits for bytes, and how often it tries."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Times are in seconds. An attempt that brings new bytes counts as the first one again."""

    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    """Longest time in which fewer than `stall_bytes` come."""
    stall_bytes: int = 16 * 1024
    attempts: int = 8
    first_pause: float = 1.0
    """Doubled after each attempt in vain."""
    longest_pause: float = 30.0
    restarts: int = 2
    """How often a file is fetched anew whose pieces do not belong together."""

    def pause(self, failures: int, asked: float | None) -> float:
        """Seconds until the next attempt after so many in vain; `asked` is what the server asked for."""
        own = self.first_pause * 2.0 ** (failures - 1)
        return min(max(own, asked or 0.0), self.longest_pause)
