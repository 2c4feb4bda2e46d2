"""Numbers over the hops of a run, as measured."""

from __future__ import annotations

import math
from collections.abc import Iterable

from milepost.agent.v1 import agent_pb2


def percentile(values: Iterable[float], fraction: float) -> float:
    """Nearest rank: the smallest value with at least `fraction` of all values at or below it; 0 for none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[max(math.ceil(fraction * len(ordered)), 1) - 1]


def router_times(run: agent_pb2.Run) -> list[float]:
    """Milliseconds of every recommendation of the run."""
    return [hop.recommendation.duration_ms for hop in run.hops if hop.HasField("recommendation")]
