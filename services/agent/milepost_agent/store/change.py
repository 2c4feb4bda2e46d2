"""A change of one run from outside of its graph: all of it in one transaction, or nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from milepost_agent.errors import RunNotFound
from milepost_agent.store import journal, messages, requests, runs
from milepost_agent.store.database import Transaction
from milepost_agent.store.records import ENDED, NewEvent, NewMessage, NewRequest, RunRecord

Update = Mapping[str, Any] | Callable[[RunRecord], Mapping[str, Any]]
"""Columns of the run, or a function that makes them of the run as it is in the transaction."""


@dataclass(frozen=True)
class RunChange:
    """See `Store.commit`."""

    run_id: str
    events: Sequence[NewEvent]
    update: Update
    messages: Sequence[NewMessage]
    unless_ended: bool
    guard: Callable[[RunRecord], bool] | None
    request: NewRequest | None

    def check(self) -> None:
        """Refuses what could not be stored later, while the caller can still be told.

        Raises:
            TypeError, ValueError: an event's data is not JSON-able, or a column may not change.
        """
        if not callable(self.update):
            runs.check_update(self.update)
        for event in self.events:
            journal.check_event(event)

    @property
    def ends_the_run(self) -> bool:
        return not callable(self.update) and self.update.get("state") == ENDED

    def apply(self, transaction: Transaction) -> bool:
        """Writes it, on the writer thread; False when it was not to be.

        Raises:
            RunNotFound: there is no run with this run id.
            RequestConflict: the request id belongs to another request.
        """
        record = runs.get(transaction.connection, self.run_id)
        if record is None or record.run_id != self.run_id:
            raise RunNotFound(f"there is no run {self.run_id}")
        if requests.known(transaction, self.run_id, self.request):
            return False
        if (self.unless_ended and record.state == ENDED) or (self.guard is not None and not self.guard(record)):
            return False
        fields = self.update(record) if callable(self.update) else self.update
        for message in self.messages:
            messages.add(transaction, self.run_id, record.correlation_id, message)
        journal.append(transaction, self.run_id, record.correlation_id, self.events)
        if fields:
            runs.check_update(fields)
            runs.update(transaction, self.run_id, fields)
        return True
