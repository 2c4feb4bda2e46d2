"""A median of what rounds say, and how far it can be trusted."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A share; between `low` and `high` it lies with a probability of 95 %."""

    share: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.share:+.1%} ({self.low:+.1%} to {self.high:+.1%})"


def estimate(shares: Sequence[float]) -> Estimate:
    """The median of the rounds, which no disturbance of a few of them moves.

    The limits are ranks of the sorted rounds, by the binomial distribution of how many lie below the median: nothing is
    assumed of how the rounds are distributed. Below six rounds they are the smallest and the largest.
    """
    ordered = sorted(shares)
    rank = max(math.floor(len(ordered) / 2 - 0.98 * math.sqrt(len(ordered))), 1)
    return Estimate(statistics.median(ordered), ordered[rank - 1], ordered[-rank])
