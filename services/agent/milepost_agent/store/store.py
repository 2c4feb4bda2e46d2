"""The store: everything that an agent keeps, behind one object on one asyncio loop."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import apsw

from milepost_agent.errors import RunNotFound, StoreClosed, StoreCorrupt, StoreError
from milepost_agent.failpoints import failpoint
from milepost_agent.store import journal, ledger, messages, requests, runs
from milepost_agent.store.backup_folder import BackupFolder, default_folder
from milepost_agent.store.change import RunChange, Update
from milepost_agent.store.checkpointer import CheckpointSaver
from milepost_agent.store.counters import Counters
from milepost_agent.store.database import Database, Publish, Transaction
from milepost_agent.store.opening import Opened, open_file, reopen_file
from milepost_agent.store.readers import Readers
from milepost_agent.store.records import (
    EventRecord,
    LedgerEntry,
    MessageRecord,
    NewEvent,
    NewMessage,
    NewRequest,
    NewRun,
    RunRecord,
)
from milepost_agent.store.removal import RetentionPolicy
from milepost_agent.store.retention import Retention, RetentionCounters
from milepost_agent.store.soundness import BackgroundCheck
from milepost_agent.store.step import Steps, StepTransaction
from milepost_agent.store.watch import Watchers

_EPOCH: Final = "SELECT value FROM meta WHERE key = 'epoch'"

Durability = Literal["full", "normal"]


class Store:
    """Runs, journal, ledger, messages and LangGraph checkpoints of one agent, in one SQLite file.

    Every write is committed when its method returns. Writes that wait at the same time share a commit. Reads see
    everything that was committed before they began and never hold up a write. After a failed write `failure` is set
    and every further write raises it, until `reopen`; reads go on.
    """

    def __init__(
        self, path: Path, opened: Opened, full: bool, folder: BackupFolder, now: Callable[[], float], history: bool
    ) -> None:
        self.path = path
        self._full = full
        self._folder = folder
        self.restored = opened.restored
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._open: Opened | None = opened
        self.retention_counters = RetentionCounters()
        self._steps = Steps()
        self._watchers = Watchers(
            lambda run_id, after, limit: self.events(run_id, after=after, limit=limit), has_run=self._has_run
        )
        self._listeners: list[Publish] = [self._watchers.publish]
        self.owner_id, self.epoch = opened.identity
        self._readers = Readers(path)
        self._database = Database(
            opened.connection,
            name=str(path),
            epoch=self.epoch,
            publish=self._publish,
            committed=opened.ownership.mark,
            now=now,
        )
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

    async def accept_run(self, run: NewRun) -> tuple[RunRecord, bool]:
        """Commits a run and its event `RunAccepted`; the same request again finds the same run (True).

        Raises:
            RunConflict: the correlation id or run id belongs to another request.
        """
        accepted = await self._database.submit(lambda transaction: runs.accept(transaction, run))
        failpoint("store.run_accepted")
        return accepted

    async def get_run(self, run_id: str) -> RunRecord | None:
        """A run by run id or correlation id."""
        return await self._readers.read(lambda db: runs.get(db, run_id))

    async def _has_run(self, run_id: str) -> bool:
        return await self.get_run(run_id) is not None

    async def list_runs(
        self, *, states: Collection[str] = (), limit: int = 50, before: int | None = None
    ) -> list[RunRecord]:
        """Runs, newest first; `before` is the `number` of the last run of the page before."""
        return await self._readers.read(lambda db: runs.listing(db, states, limit, before))

    async def count_runs(self) -> dict[str, int]:
        """Runs by state; states without runs are left out."""
        return await self._readers.read(runs.count)

    async def unfinished_runs(self) -> list[RunRecord]:
        """Runs that have not ended, paused ones too; oldest first."""
        return await self._readers.read(runs.unfinished)

    async def commit(
        self,
        run_id: str,
        *,
        events: Sequence[NewEvent] = (),
        update: Update | None = None,
        messages: Sequence[NewMessage] = (),
        unless_ended: bool = False,
        guard: Callable[[RunRecord], bool] | None = None,
        request: NewRequest | None = None,
    ) -> bool:
        """One transaction outside of a LangGraph task.

        The row of a run that has ended never changes: `update` is ignored then, events and messages are stored.
        An update that ends the run drops the step transactions that are open for it.

        Args:
            update: Columns of the run, see `UPDATABLE`, or a function of the run as it is in the transaction; state
                "ended" sets `end_time` too.
            unless_ended: Do nothing at all, and return False, when the run has ended.
            guard: Asked in the transaction, with the run as it is; do nothing, and return False, when it says so.
            request: Do nothing, and return False, when the same request was done before.

        Raises:
            RunNotFound: there is no run with this run id.
            RequestConflict: the request id belongs to another request.
            TypeError, ValueError: an event's data is not JSON-able, or a column may not change.
        """
        change = RunChange(run_id, events, update or {}, messages, unless_ended, guard, request)
        change.check()
        applied = await self._database.submit(change.apply)
        if applied and change.ends_the_run:
            self._steps.discard_run(run_id)
        return applied

    async def start_clock(self, run_id: str) -> tuple[RunRecord, bool]:
        """Lets the clock of a run go on, which is driven from now; True when nobody ever drove it before."""

        def apply(transaction: Transaction) -> tuple[RunRecord, bool]:
            record, fresh = runs.start_clock(transaction, run_id)
            if record is None:
                raise RunNotFound(f"there is no run {run_id}")
            return record, fresh

        return await self._database.submit(apply)

    async def stop_clocks(self, *, at_last_event: bool = False) -> None:
        """Stops the clocks of all runs that are driven: now, or at the last event before a process died."""
        await self._database.submit(lambda transaction: runs.stop_clocks(transaction, at_last_event=at_last_event))

    async def send_message(
        self, run_id: str, message: NewMessage, event: NewEvent | None = None
    ) -> tuple[MessageRecord, bool]:
        """Stores a message from outside with its event; True when the id was known, and then nothing is stored.

        Raises:
            RunNotFound: there is no run with this run id.
            MessageConflict: the id was used in this run for another message.
        """

        def apply(transaction: Transaction) -> tuple[MessageRecord, bool]:
            correlation_id, _ = runs.identify(transaction, run_id)
            record, known = messages.add_or_match(transaction, run_id, correlation_id, message)
            if event is not None and not known:
                journal.append(transaction, run_id, correlation_id, [event])
            return record, known

        sent = await self._database.submit(apply)
        failpoint("message.stored")
        return sent

    def note(self, run_id: str, event: NewEvent) -> None:
        """Journals an event that nobody waits for, with the next commit; dropped when the run has ended."""
        change = RunChange(run_id, [event], {}, (), unless_ended=True, guard=None, request=None)
        change.check()
        self._database.submit_and_forget(change.apply)

    def step(self, run_id: str, task_id: str) -> StepTransaction:
        """The transaction of a LangGraph task, which its writes commit; the same one until then.

        A task that is tried again in the same process starts with `discard_step`.
        """
        return self._steps.open(run_id, task_id)

    def discard_step(self, run_id: str, task_id: str) -> None:
        """Forgets what a task collected."""
        self._steps.take(run_id, task_id)

    async def ledger_get(self, call_id: str) -> LedgerEntry | None:
        """The answer of a call that was completed before, or None. Asked before each call, it looks at the owner too.

        Raises:
            StoreFenced: another process has taken the file over, so this one may call nobody.
        """
        entry, epoch = self._readers.look_up(lambda db: (ledger.get(db, call_id), _text(db, _EPOCH)))
        if epoch != str(self.epoch):
            await self.check_owner()
        return entry

    async def check_owner(self) -> None:
        """Commits nothing, which fails and stops all writing when the file has a new owner.

        Raises:
            StoreFenced: it has.
        """
        await self._database.submit(lambda _: None)

    async def ledger_put(self, entry: LedgerEntry) -> LedgerEntry:
        """Commits the answer of a call, or returns the one that was committed for it before.

        Raises:
            LedgerConflict: the call was recorded with another request.
        """
        recorded = await self._database.submit(lambda transaction: ledger.put(transaction, entry))
        failpoint("ledger.recorded")
        return recorded

    async def inbox(self, run_id: str, role: str) -> list[MessageRecord]:
        """Messages to a role that no step took yet, oldest first."""
        return self._readers.look_up(lambda db: messages.inbox(db, run_id, role))

    async def messages(self, run_id: str) -> list[MessageRecord]:
        """All messages of a run, oldest first."""
        return await self._readers.read(lambda db: messages.of_run(db, run_id))

    async def events(self, run_id: str | None = None, *, after: int = 0, limit: int = 500) -> list[EventRecord]:
        """Committed events with a sequence above `after`, in order, of one run or of all."""
        return await self._readers.read(lambda db: journal.read(db, run_id, after, limit))

    def watch(self, run_id: str | None = None, *, after: int = 0) -> AsyncGenerator[EventRecord, None]:
        """Events as they are committed, from any sequence on, without gap or repeat; ends with the store or the run."""
        return self._watchers.watch(run_id, after)

    def end_watches(self) -> None:
        """Ends every watch after what it has, so that nobody holds up a server that stops."""
        self._watchers.close()

    async def put_workflow(self, digest: str, text: str) -> None:
        """Keeps the text of a workflow that runs are pinned to."""
        query = "INSERT INTO workflows (digest, text, create_time) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        await self._database.submit(lambda transaction: _run(transaction, query, digest, text, transaction.now))

    async def get_workflow(self, digest: str) -> str | None:
        return await self._readers.read(lambda db: _text(db, "SELECT text FROM workflows WHERE digest = ?", digest))

    async def save_services(self, services: Sequence[Mapping[str, Any]]) -> None:
        """Replaces the last known registry by these JSON-able entries."""
        rows = [(position, journal.encode(dict(service))) for position, service in enumerate(services)]

        def apply(transaction: Transaction) -> None:
            transaction.execute("DELETE FROM services")
            transaction.connection.executemany("INSERT INTO services (position, data) VALUES (?, ?)", rows)

        await self._database.submit(apply)

    async def load_services(self) -> list[dict[str, Any]]:
        """The last known registry, in the order in which it was saved."""
        query = "SELECT data FROM services ORDER BY position"
        rows = await self._readers.read(lambda db: db.execute(query).fetchall())
        return [json.loads(str(data)) for (data,) in rows]

    async def get_meta(self, key: str) -> str | None:
        return await self._readers.read(lambda db: _text(db, "SELECT value FROM meta WHERE key = ?", f"agent.{key}"))

    async def set_meta(self, key: str, value: str, *, request: NewRequest | None = None) -> bool:
        """Keeps a text under a key of the agent's own; False, and nothing is done, for a request done before.

        Raises:
            RequestConflict: the request id belongs to another request.
        """
        query = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"

        def apply(transaction: Transaction) -> bool:
            if requests.known(transaction, "", request):
                return False
            _run(transaction, query, f"agent.{key}", value)
            return True

        return await self._database.submit(apply)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _run(transaction: Transaction, query: str, *parameters: Any) -> None:
    transaction.execute(query, parameters)


def _text(connection: apsw.Connection, query: str, *parameters: Any) -> str | None:
    value = connection.execute(query, parameters).get
    return None if value is None else str(value)
