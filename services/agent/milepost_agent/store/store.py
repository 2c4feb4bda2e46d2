"""The store: everything that an agent keeps, behind one object on one asyncio loop; how it is opened and closed."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from milepost_agent.errors import StoreClosed, StoreCorrupt, StoreError
from milepost_agent.store.backup_folder import BackupFolder, default_folder
from milepost_agent.store.checkpointer import CheckpointSaver
from milepost_agent.store.contents import Contents
from milepost_agent.store.counters import Counters
from milepost_agent.store.database import Database, Publish
from milepost_agent.store.opening import Opened, open_file, reopen_file
from milepost_agent.store.readers import Readers
from milepost_agent.store.records import EventRecord
from milepost_agent.store.removal import RetentionPolicy
from milepost_agent.store.retention import Retention, RetentionCounters
from milepost_agent.store.soundness import BackgroundCheck

Durability = Literal["full", "normal"]


class Store(Contents):
    """Runs, journal, ledger, messages and LangGraph checkpoints of one agent, in one SQLite file.

    Here is how it is opened, fails, is opened again and closed; what is kept is asked for and told in `Contents`.
    After a failed write `failure` is set and every further write raises it, until `reopen`; reads go on.
    """

    def __init__(
        self, path: Path, opened: Opened, full: bool, folder: BackupFolder, now: Callable[[], float], history: bool
    ) -> None:
        self.path = path
        self._full = full
        self._folder = folder
        self.restored = opened.restored
        self.sync_seconds = opened.sync_seconds
        """How long the disk took for one fsync when the file was opened; 0 when that is not known."""
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._open: Opened | None = opened
        self.retention_counters = RetentionCounters()
        self.owner_id = opened.identity.owner_id
        self._listeners: list[Publish] = []
        database = Database(
            opened.connection,
            name=str(path),
            epoch=opened.identity.epoch,
            publish=self._publish,
            committed=opened.ownership.mark,
            now=now,
        )
        super().__init__(database, Readers(path), opened.identity.epoch)
        self._listeners.append(self._watchers.publish)
        self.saver = CheckpointSaver(self._database, self._readers, self._steps, history)
        self._check = None if opened.checked else BackgroundCheck(path, self._damaged)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        durability: Durability = "full",
        now: Callable[[], float] = time.time,
        history: bool = True,
        backups: BackupFolder | None = None,
    ) -> "Store":
        """Takes ownership of the file, made if it is not there, checks it, migrates it and begins a new epoch.

        A damaged file is set aside, and the newest backup that verifies takes its place; see `restored`.

        Args:
            path: The database; `-wal`, `-shm` and `.lock` files lie beside it.
            durability: "full" survives a power cut, "normal" only the death of the process.
            now: Clock for the times that are stored, in seconds since the epoch. Nothing is ordered by it.
            history: Keep every checkpoint; False keeps the latest of each namespace of a thread, all that a run needs.
            backups: Where backups are; unset: `backups` beside the database.

        Raises:
            StoreLocked, StoreUnavailable, StoreCorrupt, StoreForeign, StoreVersion, UnsupportedSqlite: one line each.
        """
        folder = backups or BackupFolder(default_folder(path))
        opened = await asyncio.to_thread(open_file, path, durability == "full", folder)
        return cls(path, opened, durability == "full", folder, now, history)

    @property
    def failure(self) -> StoreError | None:
        """The error that stopped all writing, or None."""
        return self._database.failure

    async def until_failure(self) -> str:
        """Returns what stopped all writing, once something has."""
        await self._database.failed.wait()
        return str(self.failure)

    @property
    def counters(self) -> Counters:
        """Commits and items since the process began."""
        return self._database.counters

    def sizes(self) -> tuple[int, int]:
        """Bytes of the database file and of its write-ahead log."""
        return _size(self.path), _size(self.path.with_name(self.path.name + "-wal"))

    def listen(self, listener: Publish) -> None:
        """Calls the listener on the loop with the events of each commit, in order, once they are committed."""
        self._listeners.append(listener)

    async def reopen(self, *, restore: bool = False) -> None:
        """Closes the file and opens it again as at a start: checked, what it holds made durable, under a new epoch.

        To be called when nothing drives a run: what open steps collected is gone. The lock is never let go.

        Args:
            restore: Do the restore that was asked for; see `restored` then. Reads are refused meanwhile, and watches
                end, because the journal is another one then. Otherwise reads and watches go on.

        Raises:
            StoreError: the file could not be opened; `failure` says so, and `reopen` may be called again.
        """
        if self._open is None:
            raise StoreClosed(f"{self.path}: the store is closed")
        await self._end_check()
        await self._database.stop()
        await self._database.close(None)
        if restore:
            self._watchers.end()
            await self._readers.close()
        ownership = self._open.ownership
        try:
            opened = await asyncio.to_thread(
                reopen_file, self.path, self._full, self._folder, ownership, restore=restore
            )
        except StoreError as error:
            self._database.refuse(error)
            raise
        self._open = opened
        self.sync_seconds = opened.sync_seconds
        self.owner_id, self.epoch = opened.identity
        self.restored = opened.restored or self.restored
        self._steps.discard_all()
        self.saver.discard_all()
        await self._readers.reopen()
        self._database.restart(opened.connection, self.epoch)
        self._watchers.refresh()

    def _damaged(self, damage: str) -> None:
        """Ends all writing, and has the next opening check the whole file, which sets it aside then."""
        opened = self._open
        if opened is not None:
            with contextlib.suppress(OSError):
                opened.ownership.record_suspect()
            self._loop.call_soon_threadsafe(self._database.refuse, StoreCorrupt(f"{self.path}: {damage}"))

    async def _end_check(self) -> None:
        check, self._check = self._check, None
        if check is not None:
            await asyncio.to_thread(check.close)

    def _publish(self, events: Sequence[EventRecord]) -> None:
        for listener in self._listeners:
            listener(events)

    def retention(self, policy: RetentionPolicy, *, keep_workflow: str, busy: Callable[[str], bool]) -> Retention:
        """What removes ended runs from this store, not started.

        Args:
            keep_workflow: Digest of the workflow that new runs are pinned to.
            busy: Whether a run is still being driven, by run id; asked on the store's loop.
        """
        return Retention(
            self._database,
            self._readers,
            self._watchers,
            policy,
            counters=self.retention_counters,
            now=self._now,
            keep_workflow=keep_workflow,
            busy=busy,
        )

    async def close(self) -> None:
        """Commits what is queued, ends watches, and gives the file up. A second call does nothing."""
        opened, self._open = self._open, None
        if opened is None:
            return
        try:
            self._watchers.close()
            await self._end_check()
            await self._database.stop()
            await self._readers.close()
            await self._database.close(opened.ownership.record_clean)
        finally:
            opened.ownership.release()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
