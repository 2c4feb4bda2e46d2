"""The only writer of the file: a thread with a FIFO queue that commits everything waiting in one transaction."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import apsw

from milepost_agent.errors import StoreClosed, StoreError, StoreFenced, StoreWriteError
from milepost_agent.failpoints import failpoint
from milepost_agent.store.records import EventRecord

Result = TypeVar("Result")
Publish = Callable[[Sequence[EventRecord]], None]

LINGER: Final = 0.003
"""Seconds that a batch of lazy items waits for company before it is committed alone."""

_log = logging.getLogger(__name__)

# The statement was refused; disk and database are sound.
_REFUSED: Final = (
    apsw.ConstraintError,
    apsw.SQLError,
    apsw.BindingsError,
    apsw.MismatchError,
    apsw.RangeError,
    apsw.TooBigError,
)


class Transaction:
    """What an item gets to work with: the connection in an open transaction, and the events to publish after it."""

    def __init__(self, connection: apsw.Connection, now: float) -> None:
        self.execute = connection.execute
        self.connection = connection
        self.now = now
        self.events: list[EventRecord] = []


@dataclass
class Counters:
    """What the writer did since it was opened. Times in seconds."""

    commits: int = 0
    items: int = 0
    largest_batch: int = 0
    commit_seconds: float = 0.0


@dataclass(eq=False)
class _Item(Generic[Result]):
    apply: Callable[[Transaction], Result]
    lazy: bool
    future: "asyncio.Future[Result] | None"
    queued: float = 0.0
    result: Any = None
    error: BaseException | None = field(default=None)


class Database:
    """Applies items in the order they were submitted, many in one commit, and tells their callers afterwards.

    An item is a function of the open `Transaction`, run on the writer thread in a savepoint of its own: when it
    raises, its changes alone are undone. When the commit fails, all items of the batch fail with `StoreWriteError`
    and the database takes no further item, because what a failed write left on the disk cannot be known.
    """

    def __init__(
        self, connection: apsw.Connection, *, name: str, epoch: int, publish: Publish, now: Callable[[], float]
    ) -> None:
        self.counters = Counters()
        self.failure: StoreError | None = None
        self.failed = asyncio.Event()
        self._connection = connection
        self._name = name
        self._epoch = str(epoch)
        self._publish = publish
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Item[Any]] = deque()
        self._urgent = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, apply: Callable[[Transaction], Result], *, lazy: bool = False) -> "asyncio.Future[Result]":
        """Queues an item; the future is done when it is committed. It is applied even if the future is cancelled.

        Args:
            apply: Run on the writer thread; must not block.
            lazy: Wait up to `LINGER` for an item that is not lazy, to share its commit.

        Raises:
            StoreWriteError: an earlier write failed.
            StoreClosed: the database is closed or closing.
        """
        future: asyncio.Future[Result] = self._loop.create_future()
        self._put(_Item(apply, lazy, future))
        return future

    def submit_and_forget(self, apply: Callable[[Transaction], object]) -> None:
        """Queues a lazy item that nobody waits for; its failure is logged."""
        self._put(_Item(apply, True, None))

    async def stop(self) -> None:
        """Commits what is queued and takes no more."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

    async def close(self) -> None:
        """Closes the connection; the last one to be closed moves the log into the database."""
        if self.failure is not None:
            # The log may hold what the disk refused: leave it to the next open, which checks it.
            self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        await asyncio.to_thread(self._connection.close)

    def _put(self, item: _Item[Any]) -> None:
        if self.failure is not None:
            raise type(self.failure)(str(self.failure))
        if self._closing:
            raise StoreClosed(f"{self._name}: the store is closed")
        if item.lazy:
            item.queued = time.monotonic()
        with self._changed:
            self._queue.append(item)
            self._urgent += not item.lazy
            self._changed.notify()
        failpoint("store.queued")

    def _run(self) -> None:
        while batch := self._take():
            try:
                events = self._commit(batch)
            except BaseException as error:
                events = []
                self._fail(batch, error)
            self._loop.call_soon_threadsafe(self._settle, batch, events)

    def _take(self) -> list[_Item[Any]]:
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            while self._queue and not self._urgent and not self._closing:
                remaining = self._queue[0].queued + LINGER - time.monotonic()
                if remaining <= 0:
                    break
                self._changed.wait(remaining)
            batch = list(self._queue)
            self._queue.clear()
            self._urgent = 0
            return batch

    def _commit(self, batch: list[_Item[Any]]) -> list[EventRecord]:
        if self.failure is not None:
            raise self.failure
        transaction = Transaction(self._connection, self._now())
        transaction.execute("BEGIN IMMEDIATE")
        if transaction.execute("SELECT value FROM meta WHERE key = 'epoch'").get != self._epoch:
            raise StoreFenced(f"{self._name}: another process took over; this one must stop")
        for item in batch:
            self._apply(transaction, item)
        failpoint("store.before_commit")
        started = time.perf_counter()
        transaction.execute("COMMIT")
        self.counters.commit_seconds += time.perf_counter() - started
        self.counters.commits += 1
        self.counters.items += len(batch)
        self.counters.largest_batch = max(self.counters.largest_batch, len(batch))
        failpoint("store.after_commit")
        return transaction.events

    def _apply(self, transaction: Transaction, item: _Item[Any]) -> None:
        published = len(transaction.events)
        transaction.execute("SAVEPOINT item")
        try:
            item.result = item.apply(transaction)
        except Exception as error:
            if isinstance(error, apsw.Error) and not isinstance(error, _REFUSED):
                raise
            del transaction.events[published:]
            transaction.execute("ROLLBACK TO item")
            item.error = error
        transaction.execute("RELEASE item")
        failpoint("store.item_applied")

    def _fail(self, batch: list[_Item[Any]], cause: BaseException) -> None:
        if self.failure is None:
            self.failure = (
                cause if isinstance(cause, StoreError) else StoreWriteError(f"{self._name}: cannot write: {cause}")
            )
            self.failure.__cause__ = cause if cause is not self.failure else None
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            _log.warning("rollback after a failed write: %s", error)
        for item in batch:
            item.error = self.failure

    def _settle(self, batch: list[_Item[Any]], events: list[EventRecord]) -> None:
        if self.failure is not None:
            self.failed.set()
        for item in batch:
            if item.future is None:
                if item.error is not None:
                    _log.warning("an event was not stored: %s", item.error)
            elif item.future.done():
                continue
            elif item.error is not None:
                item.future.set_exception(item.error)
            else:
                item.future.set_result(item.result)
        if events:
            self._publish(events)
