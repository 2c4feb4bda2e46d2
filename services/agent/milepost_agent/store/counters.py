"""What the writer has done, counted by the writer itself and read by whoever asks."""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

COMMIT_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the classes of commit times, in seconds; one class more holds what is longer."""


KEPT_COMMITS: Final = 2048


class Commit(NamedTuple):
    """One commit: the newest event that it left, how many writes it held, and the seconds until it was on the disk."""

    sequence: int
    items: int
    seconds: float


@dataclass
class Counters:
    """Since the process began. Times in seconds."""

    commits: int = 0
    items: int = 0
    largest_batch: int = 0
    commit_seconds: float = 0.0
    recent: deque[Commit] = field(default_factory=lambda: deque(maxlen=KEPT_COMMITS))
    """The last ones, oldest first."""
    commit_classes: list[int] = field(default_factory=lambda: [0] * (len(COMMIT_BOUNDS) + 1))
    """Commits by the time that they took, one number for each class of `COMMIT_BOUNDS`."""

    def committed(self, items: int, seconds: float, sequence: int) -> None:
        """One commit of so many items that took so long, after which this was the newest event."""
        self.recent.append(Commit(sequence, items, seconds))
        self.commits += 1
        self.items += items
        self.largest_batch = max(self.largest_batch, items)
        self.commit_seconds += seconds
        self.commit_classes[bisect_left(COMMIT_BOUNDS, seconds)] += 1

    def commit_quantile(self, share: float) -> float:
        """Estimate of the seconds that this share of all commits took at most: as Prometheus does it, by its class.

        0 without a commit; in the class without an upper bound, its lower one.
        """
        rank = share * sum(self.commit_classes)
        below = 0
        for lower, upper, commits in zip((0.0, *COMMIT_BOUNDS), COMMIT_BOUNDS, self.commit_classes, strict=False):
            if commits and below + commits >= rank:
                return lower + (upper - lower) * (rank - below) / commits
            below += commits
        return COMMIT_BOUNDS[-1] if below < sum(self.commit_classes) else 0.0
