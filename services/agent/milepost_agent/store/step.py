"""The one transaction of a step: what a LangGraph task did is committed together with its writes, or not at all."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

from milepost_agent.store import journal, messages, runs
from milepost_agent.store.database import Transaction
from milepost_agent.store.records import NewEvent, NewMessage

COMPLETING: Final = frozenset({"StepCompleted", "StepSkipped"})
"""Events that tell of the checkpoint that they are committed with."""


class StepTransaction:
    """Collects in memory what a task did; the checkpointer commits it with the task's writes.

    A run that has ended stays as it ended: a step that comes in after the end (the run was cancelled while it worked)
    leaves its LangGraph writes and its ledger entries, but no event, message or update. So a journal ends with the
    event that ended the run, and a cancelled run cannot be resurrected.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.checkpoint_bytes = 0
        """Size of the checkpoint that it is committed with, for the event that completes a step; 0: not known."""
        self._events: list[NewEvent] = []
        self._messages: list[NewMessage] = []
        self._delivered: list[str] = []
        self._fields: dict[str, Any] = {}

    def event(self, event: NewEvent) -> None:
        """Adds an event. Raises TypeError or ValueError when its data is not JSON-able."""
        journal.check_event(event)
        self._events.append(event)

    def message(self, message: NewMessage) -> None:
        """Adds a message to another role; dropped at the commit when its id is known in the run."""
        self._messages.append(message)

    def deliver(self, message_ids: Collection[str]) -> None:
        """Marks messages as taken by this step."""
        self._delivered.extend(message_ids)

    def update(self, **fields: Any) -> None:
        """Sets columns of the run. Raises ValueError for one that may not change."""
        runs.check_update(fields)
        self._fields.update(fields)

    def apply(self, transaction: Transaction) -> None:
        """Writes all of it; called by the checkpointer on the writer thread.

        Raises:
            RunNotFound: there is no such run.
        """
        correlation_id, ended = runs.identify(transaction, self.run_id)
        if ended:
            return
        for message in self._messages:
            messages.add(transaction, self.run_id, correlation_id, message)
        messages.deliver(transaction, self.run_id, self._delivered)
        journal.append(transaction, self.run_id, correlation_id, map(self._told, self._events))
        if self._fields:
            runs.update(transaction, self.run_id, self._fields)

    def _told(self, event: NewEvent) -> NewEvent:
        if event.type not in COMPLETING or not self.checkpoint_bytes:
            return event
        return replace(event, data={**event.data, "checkpoint_bytes": self.checkpoint_bytes})


class Steps:
    """The step transactions that are open, by run and task."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], StepTransaction] = {}

    def open(self, run_id: str, task_id: str) -> StepTransaction:
        return self._open.setdefault((run_id, task_id), StepTransaction(run_id))

    def take(self, run_id: str, task_id: str) -> StepTransaction | None:
        return self._open.pop((run_id, task_id), None)

    def discard_run(self, run_id: str) -> None:
        for key in [key for key in self._open if key[0] == run_id]:
            del self._open[key]

    def discard_all(self) -> None:
        self._open.clear()
