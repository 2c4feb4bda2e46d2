"""The life of an agent over its store: drive what is in it, stand still while the disk fails, go on by itself."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from milepost_agent.errors import (
    StoreCorrupt,
    StoreError,
    StoreFenced,
    StoreForeign,
    StoreVersion,
    StoreWriteError,
)
from milepost_agent.recovery import DISK_FAILURE, RESTORE
from milepost_agent.runner import Runner
from milepost_agent.store import Store, probe
from milepost_service.errors import ProcessMustEnd
from milepost_service.server import SayReady

log = logging.getLogger(__name__)

FIRST_BACKOFF = 0.2
LONGEST_BACKOFF = 5.0
WELL_SECONDS = 30.0
"""After so long without a failure the next one is tried as soon as the first."""

T = TypeVar("T")
Resume = Callable[[str], Awaitable[None]]
"""(cause) -> begins to drive what the store holds. Raises StoreError when the store cannot be written."""


class LifeCycle:
    """Says whether the agent is ready, and opens its store again when that can help.

    While the store takes no writes the agent is alive and answers reads. Runs stop at their next write. They are driven
    again once the store was opened anew, which counts as no crash of theirs.
    """

    def __init__(self, store: Store, runner: Runner, resume: Resume, failed: Callable[[StoreError], None]) -> None:
        self._store = store
        self._runner = runner
        self._resume = resume
        self._failed = failed
        self._restore: asyncio.Future[None] | None = None
        self._asked = asyncio.Event()
        self._working: asyncio.Task[Any] | None = None
        self._backoff = FIRST_BACKOFF
        self._well_since = time.monotonic()

    async def start(self) -> None:
        """Begins to drive what the store holds; a disk that fails meanwhile is left to `attend`."""
        try:
            await self._resume("")
        except StoreError as error:
            if self._store.failure is None:
                raise
            log.warning("runs are not driven yet: %s", error)

    async def attend(self, say: SayReady) -> None:
        """Never returns.

        Raises:
            ProcessMustEnd: another process owns the file now, or the file is damaged: a start sees to that.
        """
        while True:
            if self._store.failure is None:
                await say(ready=True)
                await self._until_needed()
                await say(ready=False)
            if self._store.failure is not None:
                await self._mend(self._store.failure)
            elif self._restore is not None:
                await self._whole(self._carry_out(self._restore))

    async def restore(self) -> None:
        """Stops all runs, has the store do the restore that it was asked for, and goes on with what it holds then.

        Raises:
            StoreError: the store cannot be written now, or not any more afterwards.
        """
        if self._store.failure is not None:
            raise StoreWriteError(str(self._store.failure))
        if self._restore is None:
            self._restore = asyncio.get_running_loop().create_future()
            self._asked.set()
        await asyncio.shield(self._restore)

    async def stop(self) -> None:
        """Waits until the store is not half open. To be called after `attend` has ended."""
        if self._working is not None:
            await asyncio.wait([self._working])
        if self._restore is not None:
            self._restore.set_exception(StoreWriteError(f"{self._store.path}: the agent is stopping"))

    async def _until_needed(self) -> None:
        needs = [asyncio.create_task(self._store.until_failure()), asyncio.create_task(self._asked.wait())]
        try:
            await asyncio.wait(needs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for need in needs:
                need.cancel()

    async def _mend(self, failure: StoreError) -> None:
        """Returns when the store takes writes again, or has failed anew."""
        self._failed(failure)
        if isinstance(failure, StoreFenced):
            raise ProcessMustEnd(str(failure))
        log.error("not ready: %s; the agent goes on by itself when the disk takes data again", failure)
        if time.monotonic() - self._well_since > WELL_SECONDS:
            self._backoff = FIRST_BACKOFF
        trouble = ""
        while True:
            await asyncio.sleep(self._backoff)
            self._backoff = min(self._backoff * 2, LONGEST_BACKOFF)
            found = await self._whole(self._attempt())
            if not found:
                break
            if found != trouble:
                log.warning("still not ready: %s", found)
            trouble = found
        self._well_since = time.monotonic()
        log.info("the disk takes data again; epoch %d", self._store.epoch)

    async def _attempt(self) -> str:
        """What keeps the store from being opened, in one line; empty when it is open and runs are driven."""
        if trouble := await asyncio.to_thread(probe, self._store.path.parent):
            return trouble
        try:
            await self._reopen(DISK_FAILURE)
        except (StoreFenced, StoreCorrupt, StoreForeign, StoreVersion) as error:
            raise ProcessMustEnd(str(error)) from None
        except StoreError as error:
            return str(error)
        return ""

    async def _carry_out(self, done: "asyncio.Future[None]") -> None:
        try:
            await self._reopen(RESTORE, restore=True)
        except Exception as error:
            done.set_exception(error)
        else:
            done.set_result(None)
        self._restore = None
        self._asked.clear()

    async def _reopen(self, cause: str, *, restore: bool = False) -> None:
        await self._runner.halt()
        try:
            await self._store.reopen(restore=restore)
        finally:
            self._runner.unhalt()
        await self._resume(cause)

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Lets work that was begun end, though a signal ends `attend` meanwhile: no store is left half open."""
        task = asyncio.create_task(work, name="reopen-store")
        self._working = task
        return await asyncio.shield(task)
