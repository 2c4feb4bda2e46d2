"""Watches over runs that wait for a person and have a time after which they no longer do."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from milepost_agent.clock import sleep_until
from milepost_agent.errors import StoreError
from milepost_agent.store import RunRecord

log = logging.getLogger(__name__)

LONGEST_SLEEP = 3600.0
"""Seconds; the time of the day is looked at again after that, since it may be set anew."""

Expire = Callable[[str, str], Awaitable[None]]
"""(run id, id of what it waits for): called when the time for that is over."""


class Waits:
    """One timer for each run that waits with an end. The end is stored with the run, so it holds over restarts."""

    def __init__(self, expire: Expire, now: Callable[[], float] = time.time) -> None:
        self._expire = expire
        self._now = now
        self._timers: dict[str, asyncio.Task[None]] = {}

    def watch(self, record: RunRecord) -> None:
        """Begins to watch over a run that waits; a run that waits without end needs nobody."""
        expires = (record.pending or {}).get("expires")
        if expires is None:
            return
        self.forget(record.run_id)
        task = asyncio.create_task(self._wait(record.run_id, record.input_id, expires), name=f"wait-{record.run_id}")
        self._timers[record.run_id] = task

    def forget(self, run_id: str) -> None:
        if task := self._timers.pop(run_id, None):
            task.cancel()

    def stop(self) -> None:
        for task in self._timers.values():
            task.cancel()
        self._timers.clear()

    async def _wait(self, run_id: str, input_id: str, expires: float) -> None:
        await sleep_until(expires, self._now, LONGEST_SLEEP)
        try:
            await self._expire(run_id, input_id)
        except StoreError as error:
            log.error("Run %s: the end of its wait was not stored: %s", run_id, error)
        finally:
            if self._timers.get(run_id) is asyncio.current_task():
                del self._timers[run_id]
