"""What a process serves: whether it is ready, and what became of its calls, by method and code, with their times."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the classes of times, in seconds; one more class holds what took longer."""


class CallTimes:
    """Times of the calls of one method."""

    def __init__(self) -> None:
        self.classes = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        self.classes[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


class ServingStats:
    """Changed on the event loop alone. Methods are full names without the first slash."""

    def __init__(self) -> None:
        self.ready = False
        self.ended: Counter[tuple[str, str]] = Counter()
        """By method and code."""
        self.times: dict[str, CallTimes] = {}
        self.active: Counter[str] = Counter()
        """Calls that are being served, by method."""

    @contextmanager
    def serving(self, method: str) -> Iterator[None]:
        """Inside, a call of this method is being served."""
        self.active[method] += 1
        try:
            yield
        finally:
            self.active[method] -= 1

    def end(self, method: str, code: str, seconds: float) -> None:
        """Counts a call that ended with this code."""
        self.ended[method, code] += 1
        self.times.setdefault(method, CallTimes()).add(seconds)
