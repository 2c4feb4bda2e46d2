"""Retention: removes ended runs by number and age, and what old checkpoints are left, a little at a time."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import apsw

from milepost_agent.errors import StoreError
from milepost_agent.store import journal, removal, space, threads
from milepost_agent.store.database import Database, Transaction
from milepost_agent.store.readers import Readers
from milepost_agent.store.removal import RetentionPolicy
from milepost_agent.store.watch import Watchers

Result = TypeVar("Result")

INTERVAL: Final = 1.0
"""Seconds between looks at what is due; nothing is read while nothing was written, but for `RECHECK`."""
RECHECK: Final = 60.0
"""Seconds after which a file at rest is looked at again: runs grow old without anybody writing."""
PAUSE: Final = 0.02
"""Seconds of rest after each transaction of retention, so that most commits are those of steps alone; none while more
than `STEP_RUNS` are due, so that removal keeps up however fast runs end."""
LINGER: Final = 0.2
"""Seconds that each waits for the commit of something else, so that none costs a commit while runs go on."""
STEP_RUNS: Final = 20
STEP_ROWS: Final = 200
STEP_SECONDS: Final = 0.002
STEP_PAGES: Final = 64
OWN_EVENTS: Final = 1000
"""How many of the agent's own events are kept, the newest ones."""

_log = logging.getLogger(__name__)


@dataclass
class RetentionCounters:
    """What retention did since the process began."""

    removed_runs: int = 0
    removed_rows: int = 0
    removed_checkpoints: int = 0
    released_bytes: int = 0


class Retention:
    """Keeps the file bounded, in transactions of at most `STEP_ROWS` rows that wait to share a commit with others.

    Only runs that have ended are removed, and a run that `busy` names (its task has not come to its end yet) waits.
    A pass that finds nothing to do writes nothing.
    """

    def __init__(
        self,
        database: Database,
        readers: Readers,
        watchers: Watchers,
        policy: RetentionPolicy,
        *,
        counters: RetentionCounters,
        now: Callable[[], float],
        keep_workflow: str,
        busy: Callable[[str], bool],
    ) -> None:
        self.counters = counters
        self.policy = policy
        self._database = database
        self._readers = readers
        self._watchers = watchers
        self._now = now
        self._keep_workflow = keep_workflow
        self._busy = busy
        self._behind = False
        self._thinned_out = False
        self._seen_items = -1
        self._looked = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to work in the background."""
        self._task = asyncio.create_task(self._run(), name="retention")

    async def stop(self) -> None:
        """Ends the work in the background; what is not done is gone on with after the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def sweep(self) -> None:
        """Removes all that is due now and gives free pages back, in small steps."""
        while await self._readers.read(removal.has_leftovers) or await self._hide():
            await self._clear()
        before = self._now() - self.policy.max_age
        while await self._readers.read(partial(removal.has_old_requests, before=before)):
            await self._step(partial(removal.forget_requests, before=before, rows=STEP_ROWS))
        while (surplus := await self._readers.read(partial(journal.newest_own_surplus, keep=OWN_EVENTS))) is not None:
            await self._step(partial(journal.drop_own, up_to=surplus, rows=STEP_ROWS))
        while await self._readers.read(space.surplus):
            self.counters.released_bytes += await self._step(lambda step: space.release(step, STEP_PAGES))

    async def thin_out(self) -> None:
        """Deletes outdated checkpoints of runs: those of an older release, or written by another program."""
        after = 0
        # What comes later replaces the one before itself, and comes faster than it could be followed.
        last = await self._readers.read(threads.last_place)
        while after < last and (
            page := await self._readers.read(partial(threads.placed, after=after, limit=STEP_ROWS))
        ):
            after = page[-1].sequence
            if keys := [each.key for each in page if each.outdated]:
                await self._step(partial(threads.drop, keys=keys))
                self.counters.removed_checkpoints += len(keys)
            else:
                await asyncio.sleep(PAUSE)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self._look()
            except StoreError as error:
                _log.warning("retention ends: %s", error)
                return
            except apsw.Error as error:
                _log.warning("retention is tried again in %g s: %s", RECHECK, error)
                await asyncio.sleep(RECHECK)

    async def _look(self) -> None:
        if not self._thinned_out:
            await self.thin_out()
            self._thinned_out = True
        items, now = self._database.counters.items, time.monotonic()
        if items == self._seen_items and now - self._looked < RECHECK:
            return
        self._seen_items, self._looked = items, now
        await self.sweep()

    async def _hide(self) -> Sequence[str]:
        find = partial(removal.due, policy=self.policy, now=self._now(), limit=STEP_RUNS)
        due = [run_id for run_id in await self._readers.read(find) if not self._busy(run_id)]
        self._behind = len(due) == STEP_RUNS
        if not due:
            return []
        hidden = await self._step(lambda step: removal.hide(step, due, self._keep_workflow))
        self._watchers.removed(hidden)
        self.counters.removed_runs += len(hidden)
        return hidden

    async def _step(self, apply: Callable[[Transaction], Result]) -> Result:
        result = await self._database.submit(apply, lazy=True, linger=LINGER)
        await asyncio.sleep(0 if self._behind else PAUSE)
        return result

    async def _clear(self) -> None:
        rows = await self._step(lambda step: removal.clear(step, STEP_ROWS, STEP_SECONDS))
        self.counters.removed_rows += rows
