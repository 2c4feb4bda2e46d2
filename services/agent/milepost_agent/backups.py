"""Backups of the agent's store: made on request and on a schedule, beside the runs and never at their expense."""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from milepost_agent.clock import sleep_until
from milepost_agent.store import (
    Backup,
    BackupFailed,
    BackupFolder,
    BackupNotFound,
    Cause,
    Manifest,
    Store,
    StoreError,
    request,
)

log = logging.getLogger(__name__)

Result = TypeVar("Result")

RETRY_SECONDS: Final = 30.0
"""First pause after a backup that failed; it doubles up to the interval."""
LOOK_SECONDS: Final = 60.0
"""The clock is looked at so often: it may be set, and machines sleep."""
NICENESS: Final = 10


@dataclass(frozen=True)
class Schedule:
    """`interval` in seconds; `keep` backups are kept."""

    interval: float
    keep: int


class Backups:
    """Makes, lists and keeps backups in a thread of low priority, one after the other.

    The schedule is durable: the next one is due by the age of the newest, whoever made it. One that fails is logged,
    shown in `failure`, and tried again after a growing pause. Times are in seconds since the epoch, None when there is
    none: `next_time` of the schedule, `last_time` of the newest backup of the agent itself.

    `carry_out` has the store do the restore that was asked for; `succeeded` (with a time) and `failed` are told of
    every attempt.
    """

    def __init__(
        self,
        store: Store,
        folder: BackupFolder,
        workflow: str,
        schedule: Schedule | None,
        *,
        carry_out: Callable[[], Awaitable[None]],
        succeeded: Callable[[float], None] = lambda _: None,
        failed: Callable[[], None] = lambda: None,
        retry: float = RETRY_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.failure = ""
        self.next_time: float | None = None
        self.last_time: float | None = None
        self._carry_out = carry_out
        self._succeeded = succeeded
        self._failed = failed
        self._store = store
        self._folder = folder
        self._workflow = workflow
        self._schedule = schedule
        self._retry = retry
        self._now = now
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="backup", initializer=_step_back)
        self._one = asyncio.Lock()
        self._ended = False
        self._jobs: set[asyncio.Task[Any]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins the schedule."""
        self._task = asyncio.create_task(self._run(), name="backup-schedule")

    async def stop(self) -> None:
        """Breaks off what is under way; nothing of it is left."""
        self._ended = True
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown)

    async def create(self, backup_id: str = "", cause: Cause = "request") -> tuple[Manifest, bool]:
        """Makes a backup and verifies it; True when a sound one with this id was there already.

        It goes on when the caller is cancelled, and then the same id again finds it.

        Raises:
            BackupFailed, BackupNotFound: the latter for what is no backup id.
        """
        return await self._alone(lambda: self._create(backup_id, cause))

    async def entries(self) -> list[Backup]:
        """All backups, the newest first, each compared with its manifest."""
        return await asyncio.to_thread(self._folder.entries)

    async def find(self, backup_id: str) -> Backup:
        """Raises BackupNotFound."""
        return await asyncio.to_thread(self._folder.find, backup_id)

    async def begin_upload(self, backup_id: str) -> Path:
        """Where a backup from outside is to be written before `accept`. Raises BackupFailed, BackupNotFound."""
        return await asyncio.to_thread(self._folder.begin_upload, backup_id)

    async def accept(self, partial_file: Path, backup_id: str, sha256: str, create_time: float) -> Manifest:
        """Verifies and keeps an upload; what is not kept is removed.

        Raises:
            BackupDamaged, BackupConflict, BackupFailed.
        """
        accept = partial(self._folder.accept, partial_file, backup_id, sha256, create_time, self._workflow)
        kept, _ = await self._alone(lambda: self._work(accept))
        return kept

    async def restore(self, backup_id: str = "") -> Manifest:
        """Verifies a backup, the newest that does when none is named, and has the store go on from it.

        A backup that is being made is broken off. The request is durable before anything is changed, so that a kill in
        between is made good by the next start. The first backup of what goes on then is made at once.

        Raises:
            BackupNotFound, BackupDamaged: nothing was changed.
            StoreError: the store takes no writes now, and nothing was changed; or it cannot be opened any more.
        """
        self._stop.set()
        return await self._alone(lambda: self._restore(backup_id))

    async def _create(self, backup_id: str, cause: Cause) -> tuple[Manifest, bool]:
        try:
            made, existing = await self._work(
                partial(
                    self._folder.create,
                    self._store.path,
                    backup_id=backup_id,
                    epoch=self._store.epoch,
                    cause=cause,
                    workflow=self._workflow,
                    stop=self._stop,
                )
            )
        except BackupFailed:
            self._failed()
            raise
        if not existing:
            self.last_time = made.create_time
            self._succeeded(made.create_time)
        return made, existing

    async def _restore(self, backup_id: str) -> Manifest:
        found = await self._work(self._folder.verify, backup_id) if backup_id else None
        found = found or await self._work(self._folder.newest_sound)
        if found is None:
            raise BackupNotFound(f"no backup in {self._folder.path} verifies")
        if self._store.failure is not None:
            raise BackupFailed(str(self._store.failure))
        try:
            await self._work(request, self._store.path, found.backup_id, "a restore was asked for")
        except OSError as error:
            raise BackupFailed(f"{self._store.path}: a restore cannot be asked for: {error.strerror}") from error
        await self._carry_out()
        await self._begin_anew()
        return found

    async def _begin_anew(self) -> None:
        """What was made before belongs to a history that a person has turned away from."""
        try:
            await self._create("", "request")
        except BackupFailed as error:
            log.warning("no backup of what was restored: %s", error)

    async def _run(self) -> None:
        self.last_time = await asyncio.to_thread(self._folder.last_time)
        if self.last_time is not None:
            self._succeeded(self.last_time)
        restored = self._store.restored
        if restored is not None and restored.asked:
            await self._alone(self._begin_anew)
        if self._schedule is not None:
            await self._keep_to(self._schedule)

    async def _keep_to(self, schedule: Schedule) -> None:
        pause = self._retry
        self.next_time = await self._due(schedule)
        while True:
            await sleep_until(self.next_time, self._now, LOOK_SECONDS)
            try:
                made, _ = await self.create(cause="schedule")
                removed = await self._alone(lambda: self._work(self._folder.rotate, schedule.keep))
            except (StoreError, OSError) as error:
                self.failure = str(error)
                self.next_time = self._now() + pause
                log.error("no backup: %s; tried again in %g s", error, pause)
                pause = min(2 * pause, max(schedule.interval, self._retry))
            else:
                log.info("backup %s made; %d removed", made.backup_id, len(removed))
                self.failure, pause = "", self._retry
                self.next_time = await self._due(schedule)

    async def _due(self, schedule: Schedule) -> float:
        """By the age of the newest; one from the future is as new as can be."""
        last = await asyncio.to_thread(self._folder.last_time)
        now = self._now()
        return now if last is None else max(now, min(last, now) + schedule.interval)

    async def _alone(self, job: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Does a job when no other is under way; it goes on when the caller is cancelled."""

        async def run() -> Result:
            async with self._one:
                if self._ended:
                    raise BackupFailed(f"{self._folder.path}: the agent is stopping")
                self._stop.clear()
                return await job()

        task = asyncio.create_task(run(), name="backup")
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return await asyncio.shield(task)

    async def _work(self, work: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def _step_back() -> None:
    """Runs take precedence over this thread wherever the system can tell one thread from another."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
