"""An event loop whose time passes only when everything waits, so that backoff and drain are tested in no time."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer instead of sleeping until then."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0
        self._select = self._selector.select
        self._selector.select = self._jump

    def time(self) -> float:
        return self._now

    def _jump(self, timeout: float | None = None) -> Any:
        ready = self._select(0 if timeout is not None else None)
        if not ready and timeout:
            self._now += timeout
        return ready


def run_virtual(story: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on a loop of its own with virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(story)
