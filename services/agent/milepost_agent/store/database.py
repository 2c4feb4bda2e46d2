"""The only writer of the file: a thread with a FIFO queue that commits everything waiting in one transaction."""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import apsw

from milepost_agent.errors import FailpointReached, StoreClosed, StoreError, StoreFenced
from milepost_agent.failpoints import failpoint
from milepost_agent.store.counters import Counters
from milepost_agent.store.evidence import Mark
from milepost_agent.store.records import EventRecord
from milepost_agent.store.refusals import write_error

Result = TypeVar("Result")
Publish = Callable[[Sequence[EventRecord]], None]

LINGER: Final = 0.003
"""Seconds that a batch of lazy items waits for company before it is committed alone."""

_log = logging.getLogger(__name__)

_SEAL: Final = """
SELECT (SELECT value FROM meta WHERE key = 'epoch'),
    (SELECT seq FROM sqlite_sequence WHERE name = 'journal'),
    (SELECT seq FROM sqlite_sequence WHERE name = 'checkpoint_order')
"""

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
        self._appended: dict[tuple[int, str], list[tuple[Any, ...]]] = {}

    def append(self, rank: int, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Runs a statement for each row, but only at the end of the batch, or before an item that may look at them.

        For items that were submitted with `appends`. Lower ranks run first, rows of one statement in their order.
        Every statement that runs by itself gives the interpreter's lock away and waits for it anew, which takes long
        while the event loop is busy; all rows of a batch in one call do so once.
        """
        self._appended.setdefault((rank, statement), []).extend(rows)

    def flush(self) -> None:
        """Runs what was appended."""
        appended, self._appended = self._appended, {}
        for (_, statement), rows in sorted(appended.items()):
            self.connection.executemany(statement, rows)

    def drop(self, published: int) -> None:
        """Forgets what was appended, and the events beyond the first `published`."""
        self._appended.clear()
        del self.events[published:]


@dataclass(eq=False, slots=True)
class _Item(Generic[Result]):
    apply: Callable[[Transaction], Result]
    lazy: bool
    future: "asyncio.Future[Result] | None"
    appends: bool = False
    then: Callable[[], None] | None = None
    result: Any = None
    error: BaseException | None = field(default=None)


class Database:
    """Applies items in the order they were submitted, many in one commit, and tells their callers afterwards.

    An item is a function of the open `Transaction`, run on the writer thread. When it raises, its changes alone are
    undone: the batch is rolled back and applied again, each item in a savepoint of its own. So an item may be applied
    twice, and must change nothing but the file. When the commit fails, all items of the batch fail with
    `StoreWriteError` and the database takes no further item, because what a failed write left on the disk cannot be
    known.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        *,
        name: str,
        epoch: int,
        publish: Publish,
        committed: Callable[[Mark], None],
        now: Callable[[], float],
    ) -> None:
        self.counters = Counters()
        self.failed = asyncio.Event()
        self._name = name
        self._publish = publish
        self._committed = committed
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Item[Any]] = deque()
        self._changed = threading.Condition()
        self.restart(connection, epoch)

    def restart(self, connection: apsw.Connection, epoch: int) -> None:
        """Takes items again, for a file that was opened anew; to be called when the database is closed."""
        self.failure: StoreError | None = None
        self.failed.clear()
        self._connection = connection
        self._epoch = str(epoch)
        self._urgent = 0
        self._latest = math.inf
        self._closing = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(
        self,
        apply: Callable[[Transaction], Result],
        *,
        lazy: bool = False,
        linger: float | None = None,
        appends: bool = False,
        then: Callable[[], None] | None = None,
    ) -> "asyncio.Future[Result]":
        """Queues an item; the future is done when it is committed. It is applied even if the future is cancelled.

        Args:
            apply: Run on the writer thread; must not block.
            lazy: Wait for an item that is not lazy, to share its commit.
            linger: How many seconds at most; None: `LINGER`.
            appends: The item looks at nothing that `Transaction.append` may still hold back.
            then: Called on the loop when the item was committed or refused, before whoever waits for it.

        Raises:
            StoreWriteError: an earlier write failed.
            StoreClosed: the database is closed or closing.
        """
        future: asyncio.Future[Result] = self._loop.create_future()
        self._put(_Item(apply, lazy, future, appends, then), linger)
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

    async def close(self, clean: Callable[[], None] | None) -> None:
        """Moves the log into the database, says so by `clean`, and closes the connection; None: the log stays as it is.

        `clean` comes before SQLite removes the log, so that a missing log is never taken for a loss after a kill here.
        """
        await asyncio.to_thread(self._close, clean if self.failure is None else None)

    def _close(self, clean: Callable[[], None] | None) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if clean is not None:
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                clean()
        except (apsw.Error, OSError) as error:
            clean = None
            _log.warning("%s: the log stays beside the database: %s", self._name, error)
        # A log that holds what the disk refused is left to the next open, which checks it.
        self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(clean is None))
        self._connection.close()

    def refuse(self, failure: StoreError) -> None:
        """Has every write from now on raise the failure; whether it is stopped or not."""
        self.failure = failure
        self.failed.set()

    def _put(self, item: _Item[Any], linger: float | None = None) -> None:
        if self.failure is not None:
            raise type(self.failure)(str(self.failure))
        if self._closing:
            raise StoreClosed(f"{self._name}: the store is closed")
        with self._changed:
            self._queue.append(item)
            self._urgent += not item.lazy
            self._latest = min(self._latest, time.monotonic() + (LINGER if linger is None else linger))
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
                remaining = self._latest - time.monotonic()
                if remaining <= 0:
                    break
                self._changed.wait(remaining)
            batch = list(self._queue)
            self._queue.clear()
            self._urgent = 0
            self._latest = math.inf
            return batch

    def _commit(self, batch: list[_Item[Any]]) -> list[EventRecord]:
        if self.failure is not None:
            raise self.failure
        transaction = self._apply_together(batch) or self._apply_apart(batch)
        mark = self._seal(transaction)
        failpoint("store.before_commit")
        started = time.perf_counter()
        transaction.execute("COMMIT")
        self._committed(mark)
        self.counters.committed(len(batch), time.perf_counter() - started, mark.events)
        failpoint("store.after_commit")
        return transaction.events

    def _begin(self) -> Transaction:
        transaction = Transaction(self._connection, self._now())
        transaction.execute("BEGIN IMMEDIATE")
        return transaction

    def _seal(self, transaction: Transaction) -> Mark:
        """Makes sure that the file is still this owner's, and tells what it will hold, by one statement for both."""
        row = next(transaction.execute(_SEAL))
        if row[0] != self._epoch:
            raise StoreFenced(f"{self._name}: another process took over; this one must stop")
        return Mark(int(row[1] or 0), int(row[2] or 0))

    def _apply_together(self, batch: list[_Item[Any]]) -> Transaction | None:
        """Applies all items; when one is refused, undoes all of them and gives None."""
        transaction = self._begin()
        try:
            for item in batch:
                if not item.appends:
                    transaction.flush()
                item.result = item.apply(transaction)
                failpoint("store.item_applied")
            transaction.flush()
        except FailpointReached:
            raise
        except Exception as error:
            if is_fatal(error):
                raise
            transaction.execute("ROLLBACK")
            return None
        return transaction

    def _apply_apart(self, batch: list[_Item[Any]]) -> Transaction:
        """Applies each item in a savepoint, so that one that is refused is undone alone."""
        transaction = self._begin()
        for item in batch:
            published = len(transaction.events)
            transaction.execute("SAVEPOINT item")
            try:
                item.result = item.apply(transaction)
                transaction.flush()
            except Exception as error:
                if is_fatal(error):
                    raise
                transaction.drop(published)
                transaction.execute("ROLLBACK TO item")
                item.error = error
            transaction.execute("RELEASE item")
            failpoint("store.item_applied")
        return transaction

    def _fail(self, batch: list[_Item[Any]], cause: BaseException) -> None:
        if self.failure is None:
            known = cause if isinstance(cause, StoreError) else None
            self.failure = known or write_error(self._name, cause, self._connection)
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
            if item.then is not None:
                item.then()
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


def is_fatal(error: Exception) -> bool:
    """Whether the disk or the database is at fault, and not the statement."""
    return isinstance(error, apsw.Error) and not isinstance(error, _REFUSED)
