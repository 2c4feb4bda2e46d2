"""Reads the journal on from where it was read to, and folds it run by run into spans."""

import logging
from bisect import bisect_left
from functools import partial
from typing import Final

from milepost_agent.store import Commit, EventRecord, Store, journal
from milepost_agent.tracing.epochs import STARTED, Epochs
from milepost_agent.tracing.projection import RunProjection, project
from milepost_agent.tracing.spans import Span

log = logging.getLogger(__name__)

PAGE: Final = 32
"""Events that are read and folded at a time: a millisecond or two."""
MOST_RUNS: Final = 2048
"""Runs whose fold is kept in memory; that of another one is made anew from its events."""


class JournalReader:
    """Spans in the order in which the journal completes them. For one thread."""

    def __init__(self, store: Store, position: int) -> None:
        self.position = position
        """Sequence of the last event that was read."""
        self.missing = 0
        """Events that make no spans: they were removed before they were read, or are not understood."""
        self._store = store
        self._runs: dict[str, RunProjection] = {}
        self._epochs: Epochs | None = None

    def forget(self) -> None:
        """Makes every fold anew: the file may be another one, or events were skipped."""
        self._runs.clear()
        self._epochs = None

    def skip_to(self, position: int) -> int:
        """Leaves events out, and says how many."""
        skipped, self.position = position - self.position, position
        self.forget()
        return skipped

    def read(self) -> tuple[list[Span], int]:
        """Spans of the next page, and how many events it had.

        Raises:
            StoreClosed: the store is closed, or its file is being replaced.
        """
        events = self._store.read_apart(partial(journal.read, run_id=None, after=self.position, limit=PAGE))
        if not events:
            return [], 0
        commits = list(self._store.counters.recent)
        removed = self._store.retention_counters.removed_runs
        spans: list[Span] = []
        for event in events:
            if removed:
                self.missing += event.sequence - self.position - 1
            try:
                spans += self._take(event, _commit_of(event.sequence, commits))
            except (TypeError, ValueError, KeyError, AttributeError):
                log.exception("event %d is left out of what is exported", event.sequence)
                self._runs.pop(event.run_id, None)
                self.missing += 1
            self.position = event.sequence
        return spans, len(events)

    def _take(self, event: EventRecord, commit: Commit | None) -> list[Span]:
        if event.run_id == journal.OWN:
            self._known_epochs().take(event)
            return []
        projection = self._runs.get(event.run_id) or self._begin(event)
        if projection is None:
            return []
        spans = projection.take(event, self._known_epochs().of(event.sequence), commit)
        if projection.ended:
            del self._runs[event.run_id]
        return spans

    def _begin(self, event: EventRecord) -> RunProjection | None:
        """The fold of a run up to an event; None when its beginning was removed."""
        if event.type == "RunAccepted":
            projection: RunProjection | None = RunProjection(event)
        else:
            before = partial(journal.read, run_id=event.run_id, after=0, limit=-1)
            events = [each for each in self._store.read_apart(before) if each.sequence < event.sequence]
            projection = project(events, self._known_epochs().of)
        if projection is None:
            self.missing += 1
            return None
        if len(self._runs) >= MOST_RUNS:
            del self._runs[next(iter(self._runs))]
        self._runs[event.run_id] = projection
        return projection

    def _known_epochs(self) -> Epochs:
        if self._epochs is None:
            self._epochs = Epochs(self._store.read_apart(partial(journal.own, kind=STARTED)))
        return self._epochs


def _commit_of(sequence: int, commits: list[Commit]) -> Commit | None:
    """The commit that an event came with, if it is among these."""
    place = bisect_left(commits, sequence, key=lambda commit: commit.sequence)
    return commits[place] if 0 < place < len(commits) else None
