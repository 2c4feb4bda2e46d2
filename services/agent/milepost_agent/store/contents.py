"""What the store holds: runs, journal, ledger, messages, and what the agent keeps beside them."""

import json
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

import apsw

from milepost_agent.errors import RunNotFound
from milepost_agent.failpoints import failpoint
from milepost_agent.store import journal, ledger, messages, requests, runs, search
from milepost_agent.store.change import RunChange, Update
from milepost_agent.store.database import Database, Transaction
from milepost_agent.store.readers import Readers, Result
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
from milepost_agent.store.search import Page, RunFilter
from milepost_agent.store.step import Steps, StepTransaction
from milepost_agent.store.watch import Watchers

_SET_META: Final = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"
PARTS: Final = 5
"""Not a time: the same page again must hold the same runs."""
_EPOCH: Final = "SELECT value FROM meta WHERE key = 'epoch'"
_LAST_SEQUENCE: Final = "SELECT seq FROM sqlite_sequence WHERE name = 'journal'"


class Contents:
    """Every write is committed when its method returns, and shares a commit with what waits at the same time.

    Reads see everything that was committed before they began and never hold up a write.
    """

    def __init__(self, database: Database, readers: Readers, epoch: int) -> None:
        self.epoch = epoch
        self._database = database
        self._readers = readers
        self._steps = Steps()
        self._watchers = Watchers(
            lambda run_id, after, limit: self.events(run_id, after=after, limit=limit), has_run=self._has_run
        )

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

    async def find_runs(self, wanted: RunFilter, *, limit: int = 50, before: int | None = None) -> Page:
        """Runs that match, newest first, and where the next page begins.

        A search for text ends after `PARTS` parts with what it has found, which may be fewer than `limit` or none.
        """
        found: list[RunRecord] = []
        for _ in range(PARTS):
            look = partial(search.page, wanted=wanted, limit=limit - len(found), before=before)
            part = await self._readers.read(look)
            found += part.runs
            before = part.before
            if before is None or len(found) >= limit:
                break
        return Page(found, before)

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

    async def newest_messages(self, *, limit: int = 50, before: int | None = None) -> list[MessageRecord]:
        """Messages of all runs, newest first; `before` is the `sequence` of the last one of the page before."""
        return await self._readers.read(lambda db: messages.newest(db, limit, before))

    async def last_sequence(self) -> int:
        """The sequence number of the newest event that ever was; 0 when there was none."""
        return int(await self._readers.read(lambda db: _text(db, _LAST_SEQUENCE)) or 0)

    async def events(self, run_id: str | None = None, *, after: int = 0, limit: int = 500) -> list[EventRecord]:
        """Committed events with a sequence above `after`, in order, of one run or of all and of the agent itself."""
        return await self._readers.read(lambda db: journal.read(db, run_id, after, limit))

    async def before_unfinished(self) -> int:
        """The sequence before the first event of the runs that have not ended; the newest when all have."""
        return await self._readers.read(journal.before_unfinished)

    async def histories(self, run_ids: Sequence[str]) -> list[list[EventRecord]]:
        """All committed events of each of these runs, in order."""
        return await self._readers.read(lambda db: [journal.read(db, each, 0, -1) for each in run_ids])

    async def own_events(self, kind: str) -> list[EventRecord]:
        """All events of a type of the agent itself, oldest first."""
        return await self._readers.read(lambda db: journal.own(db, kind))

    async def own_events_during(self, kind: str, run_id: str, limit: int) -> list[EventRecord]:
        """The newest events of a type of the agent itself that came while a run was there, oldest first."""
        return await self._readers.read(lambda db: journal.own_during(db, kind, run_id, limit))

    def read_apart(self, query: Callable[[apsw.Connection], Result]) -> Result:
        """The result of a short query, for one thread that is not the loop's. Raises StoreClosed."""
        return self._readers.apart.read(query)

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

    async def journal_own(
        self,
        events: Sequence[NewEvent],
        *,
        correlation_id: str,
        meta: Mapping[str, str] | None = None,
        request: NewRequest | None = None,
    ) -> bool:
        """Commits events of the agent itself, with what it keeps; False, and nothing is done, as in `set_meta`.

        Raises:
            RequestConflict: the request id belongs to another request.
            TypeError, ValueError: an event's data is not JSON-able.
        """
        for event in events:
            journal.check_event(event)

        def apply(transaction: Transaction) -> bool:
            if requests.known(transaction, "", request):
                return False
            for key, value in (meta or {}).items():
                _run(transaction, _SET_META, f"agent.{key}", value)
            journal.append(transaction, journal.OWN, correlation_id, events)
            return True

        return await self._database.submit(apply)

    async def get_meta(self, key: str) -> str | None:
        return await self._readers.read(lambda db: _text(db, "SELECT value FROM meta WHERE key = ?", f"agent.{key}"))

    async def set_meta(self, key: str, value: str, *, request: NewRequest | None = None) -> bool:
        """Keeps a text under a key of the agent's own; False, and nothing is done, for a request done before.

        Raises:
            RequestConflict: the request id belongs to another request.
        """
        return await self.journal_own((), correlation_id="", meta={key: value}, request=request)


def _run(transaction: Transaction, query: str, *parameters: Any) -> None:
    transaction.execute(query, parameters)


def _text(connection: apsw.Connection, query: str, *parameters: Any) -> str | None:
    value = connection.execute(query, parameters).get
    return None if value is None else str(value)
