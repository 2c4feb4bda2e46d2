"""What is to be reconciled, with the semantics of client-go's queue.

A key is never worked on twice at once, and however often it is added while it waits, it comes up once.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Hashable
from enum import IntEnum
from typing import Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)

BACKOFF_BASE_SECONDS = 0.2
BACKOFF_CAP_SECONDS = 300.0
PATIENCE_SECONDS = 10.0
"""How long what is less urgent may wait at most for what is more."""


class Priority(IntEnum):
    """What somebody changed goes before news of how it goes, and both before the periodic second look."""

    CHANGE = 0
    NEWS = 1
    RESYNC = 2


class QueueObserver(Protocol):
    """Is told what happens, in seconds."""

    def added(self) -> None:
        """A key began to wait."""

    def taken(self, waited: float) -> None:
        """A worker took a key that had waited so long."""

    def finished(self, worked: float) -> None:
        """A worker was done with a key."""

    def retried(self) -> None:
        """A key was put back because it failed."""


class Silent:
    """Observes nothing."""

    def added(self) -> None:
        return

    def taken(self, waited: float) -> None:
        return

    def finished(self, worked: float) -> None:
        return

    def retried(self) -> None:
        return


class WorkQueue(Generic[K]):
    """A queue for one event loop. Times are those of the loop's clock."""

    def __init__(self, observer: QueueObserver | None = None) -> None:
        self._observer: QueueObserver = observer or Silent()
        self._waiting: dict[Priority, OrderedDict[K, float]] = {priority: OrderedDict() for priority in Priority}
        self._processing: dict[K, float] = {}
        self._dirty: dict[K, Priority] = {}
        self._delayed: dict[K, tuple[float, asyncio.TimerHandle]] = {}
        self._failures: dict[K, int] = {}
        self._wakeup: asyncio.Event = asyncio.Event()
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()
        self._closed = False

    def add(self, key: K, priority: Priority = Priority.CHANGE) -> None:
        """Makes a key due now, as it is for whoever takes it next."""
        if self._closed:
            return
        self._cancel_delay(key)
        if key in self._processing:
            self._dirty[key] = min(priority, self._dirty.get(key, priority))
            return
        for known, keys in self._waiting.items():
            if key in keys:
                if known > priority:
                    self._waiting[priority][key] = keys.pop(key)
                return
        self._waiting[priority][key] = self._now()
        self._observer.added()
        self._idle.clear()
        self._wakeup.set()

    def add_after(self, key: K, seconds: float, priority: Priority = Priority.CHANGE) -> None:
        """Makes a key due later; the earlier of several delays counts."""
        if self._closed:
            return
        if seconds <= 0:
            return self.add(key, priority)
        due = self._now() + seconds
        if key in self._delayed:
            if self._delayed[key][0] <= due:
                return
            self._cancel_delay(key)
        timer = asyncio.get_running_loop().call_later(seconds, self._due, key, priority)
        self._delayed[key] = (due, timer)

    def retry(self, key: K, *, at_least: float = 0.0) -> float:
        """Puts back a key that failed, after a time that doubles with each failure; returns that time in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        longest = min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * (1 << min(failures, 20)))
        # Half of it is spread, so that what failed together does not come back together.
        seconds = max(at_least, longest * random.uniform(0.5, 1.0))  # noqa: S311 no secret
        self._observer.retried()
        self.add_after(key, seconds)
        return seconds

    def forget(self, key: K) -> None:
        """The key went well: its next failure is its first."""
        self._failures.pop(key, None)

    def discard(self, key: K) -> None:
        """The key is no more: nothing of it is kept."""
        self.forget(key)
        self._cancel_delay(key)

    async def get(self) -> K | None:
        """The next key, to be given back by `done`; None once the queue is closed and empty."""
        while True:
            if (taken := self._next()) is not None:
                key, since = taken
                self._processing[key] = self._now()
                self._observer.taken(self._now() - since)
                return key
            if self._closed:
                return None
            self._wakeup.clear()
            await self._wakeup.wait()

    def _next(self) -> tuple[K, float] | None:
        waiting = [keys for keys in self._waiting.values() if keys]
        if not waiting:
            return None
        for keys in waiting[1:]:
            if self._now() - next(iter(keys.values())) > PATIENCE_SECONDS:
                return keys.popitem(last=False)
        return waiting[0].popitem(last=False)

    def done(self, key: K) -> None:
        """The worker is through with a key; it waits again if it was added meanwhile."""
        self._observer.finished(self._now() - self._processing.pop(key))
        if key in self._dirty:
            self.add(key, self._dirty.pop(key))
        if not self._processing and not any(self._waiting.values()):
            self._idle.set()

    async def drain(self, timeout: float) -> bool:
        """Takes nothing in any more and waits for what is there; whether all of it was done in time (seconds)."""
        self._closed = True
        for key in list(self._delayed):
            self._cancel_delay(key)
        self._wakeup.set()
        try:
            await asyncio.wait_for(self._idle.wait(), timeout)
        except TimeoutError:
            return False
        return True

    def depth(self, priority: Priority | None = None) -> int:
        """How many keys wait to be taken."""
        priorities = Priority if priority is None else (priority,)
        return sum(len(self._waiting[found]) for found in priorities)

    @property
    def delayed(self) -> int:
        """How many keys are due later."""
        return len(self._delayed)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is worked on."""
        return self._idle.is_set()

    def running_seconds(self) -> list[float]:
        """For how long each key has been worked on."""
        return [self._now() - since for since in self._processing.values()]

    def _due(self, key: K, priority: Priority) -> None:
        del self._delayed[key]
        self.add(key, priority)

    def _cancel_delay(self, key: K) -> None:
        if key in self._delayed:
            self._delayed.pop(key)[1].cancel()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
