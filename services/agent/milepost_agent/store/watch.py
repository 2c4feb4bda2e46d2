"""Watchers: committed events in order, from the journal first and then live, each exactly once."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from typing import Final

from milepost_agent.store.records import EventRecord

BUFFER: Final = 256
"""Events kept in memory for one watcher; one that falls further behind reads them from the file again."""
PAGE: Final = 500

ReadEvents = Callable[[str | None, int, int], Awaitable[list[EventRecord]]]
HasRun = Callable[[str], Awaitable[bool]]


class _Watcher:
    def __init__(self, run_id: str | None) -> None:
        self.run_id = run_id
        self.buffer: deque[EventRecord] = deque()
        self.behind = True
        self.removed = False
        self.ended = False
        self.wake = asyncio.Event()

    def offer(self, event: EventRecord) -> None:
        if self.run_id is not None and event.run_id != self.run_id:
            return
        if len(self.buffer) >= BUFFER:
            self.buffer.clear()
            self.behind = True
        if not self.behind:
            self.buffer.append(event)
        self.wake.set()


class Watchers:
    """Hands each committed event to whoever watches its run."""

    def __init__(self, read: ReadEvents, has_run: HasRun) -> None:
        self._read = read
        self._has_run = has_run
        self._watchers: set[_Watcher] = set()
        self._closed = False

    def publish(self, events: Sequence[EventRecord]) -> None:
        """Takes events that were just committed, in sequence order."""
        for watcher in self._watchers:
            for event in events:
                watcher.offer(event)

    def removed(self, run_ids: Collection[str]) -> None:
        """Ends the watches of runs that were just removed, after what they have."""
        for watcher in self._watchers:
            if watcher.run_id in run_ids:
                watcher.removed = True
                watcher.wake.set()

    def refresh(self) -> None:
        """Has everybody read from the file again: more than was published may be in it."""
        for watcher in self._watchers:
            watcher.buffer.clear()
            watcher.behind = True
            watcher.wake.set()

    def end(self) -> None:
        """Ends the watches that are open, after what they have; later ones are welcome."""
        for watcher in self._watchers:
            watcher.ended = True
            watcher.wake.set()

    def close(self) -> None:
        """Ends every watch after what it has, for good."""
        self._closed = True
        self.end()

    async def watch(self, run_id: str | None, after: int) -> AsyncGenerator[EventRecord, None]:
        """Events with a sequence above `after`; ends when the store is closed or the run is removed."""
        watcher = _Watcher(run_id)
        watcher.ended = self._closed
        self._watchers.add(watcher)
        try:
            while not watcher.ended:
                watcher.wake.clear()
                for event in await self._next(watcher, after):
                    # What was committed while the page was read is in the page and in the buffer.
                    if event.sequence > after:
                        after = event.sequence
                        yield event
                if watcher.behind or watcher.buffer:
                    continue
                if watcher.removed:
                    return
                await watcher.wake.wait()
        finally:
            self._watchers.discard(watcher)

    async def _next(self, watcher: _Watcher, after: int) -> list[EventRecord]:
        if not watcher.behind:
            events = list(watcher.buffer)
            watcher.buffer.clear()
            return events
        watcher.buffer.clear()
        watcher.behind = False
        page = await self._read(watcher.run_id, after, PAGE)
        if len(page) == PAGE:
            watcher.behind = True
        if not page and watcher.run_id is not None and not await self._has_run(watcher.run_id):
            watcher.removed = True
        return page
