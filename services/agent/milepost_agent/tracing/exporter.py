"""Exports the spans of runs by OTLP: a thread that reads the journal, behind the runs and never in their way."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import apsw

from milepost_agent.errors import StoreClosed
from milepost_agent.store import EventRecord, Store
from milepost_agent.tracing.cursor import Cursor
from milepost_agent.tracing.reading import PAGE, JournalReader
from milepost_service.telemetry.connection import Answer, Connection, Report, next_backoff
from milepost_service.telemetry.counters import exports
from milepost_service.telemetry.destination import Destination, resource_attributes
from milepost_service.telemetry.pace import Pace, Shares

if TYPE_CHECKING:
    from milepost_agent.tracing.encoding import Request

log = logging.getLogger(__name__)

LOOK: Final = 0.5
"""Seconds between two looks for new events, and between two requests at least."""
FIRST_LOOK: Final = 1.0
"""Seconds that runs which are resumed have the process for themselves."""
BATCH: Final = 512
"""Spans of one request; a page more at most."""
MOST_LAG: Final = 200_000
"""Events that wait to be exported at most; the oldest beyond that are given up."""
SHARES: Final = Shares(busy=0.005, pressed=0.05)
"""Pressed from `PRESSING_LAG` on."""
PRESSING_LAG: Final = MOST_LAG // 4
"""From so many on the exporter takes a larger share of the time, before any is given up."""
STOP_SECONDS: Final = 1.0
"""How long the end of the process waits. What is not sent then is sent by the next one."""
LAGGED: Final = "too far behind"
REMOVED: Final = "removed by retention"


class JournalExporter:
    """What has not been taken by the receiver stays in the journal, so that neither a crash nor an outage loses it."""

    def __init__(self, store: Store, name: str, destination: Destination) -> None:
        self.endpoint = destination.endpoint
        self._store = store
        self._resource = resource_attributes(name)
        self._cursor = Cursor(store.path, store.owner_id)
        self._connection = Connection(destination)
        self._report = Report("spans", exports)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._newest = 0
        self._done = 0

    def lag(self) -> int:
        """Committed events whose spans were not exported yet."""
        return max(self._newest - self._done, 0)

    async def start(self) -> None:
        """Goes on where the last process stopped; in a store that was never exported, with the runs that go on."""
        kept = self._cursor.load()
        self._newest = await self._store.last_sequence()
        if kept is None:
            kept = await self._store.before_unfinished()
            self._cursor.save(kept)
        self._done = kept
        self._store.listen(self._committed)
        self._thread = threading.Thread(target=self._run, name="span-export", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Sends what it can in `STOP_SECONDS`. To be called when no run is driven any more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
            self._connection.close()
            self._thread.join(STOP_SECONDS)

    def _committed(self, events: Sequence[EventRecord]) -> None:
        self._newest = events[-1].sequence

    def _run(self) -> None:
        reader, pace = JournalReader(self._store, self._done), Pace(SHARES)
        self._stop.wait(FIRST_LOOK)
        last = False
        while not last:
            last = self._stop.is_set()
            try:
                self._catch_up(reader, pace)
            except (StoreClosed, apsw.Error) as error:
                log.debug("the journal cannot be read now: %s", error)
                reader.forget()
                reader.position = self._done
            self._stop.wait(LOOK)

    def _catch_up(self, reader: JournalReader, pace: Pace) -> None:
        """Returns when all that is committed was exported, or it cannot be now."""
        while self._newest > reader.position:
            if reader.position < self._newest - MOST_LAG:
                exports.gave_up("spans", reader.skip_to(self._newest - MOST_LAG), LAGGED)
            batch, events = self._gather(reader, pace)
            if len(batch) and not self._send(batch, pace):
                reader.forget()
                reader.position = self._done
                return
            if len(batch):
                self._cursor.save(reader.position)
            self._done = reader.position
            if reader.missing:
                exports.gave_up("spans", reader.missing, REMOVED)
                reader.missing = 0
            if events < PAGE:
                return

    def _gather(self, reader: JournalReader, pace: Pace) -> "tuple[Request, int]":
        """A batch, page by page; and how many events the last page had."""
        from milepost_agent.tracing.encoding import Request  # noqa: PLC0415 - takes its time, which runs are spared

        batch, events = Request(self._resource), PAGE
        while len(batch) < BATCH and events == PAGE:
            spans, events = reader.read()
            batch.add(spans)
            self._stop.wait(pace.rest(pressed=self.lag() > PRESSING_LAG))
        return batch, events

    def _send(self, batch: "Request", pace: Pace) -> bool:
        """Sends until the receiver takes it or refuses it for good; False when this process ends before."""
        request = batch.encoded()
        backoff = 0.0
        while True:
            answer: Answer = self._connection.send(request)
            if not answer.again:
                self._report.settled(len(batch), answer)
                self._stop.wait(pace.rest(pressed=self.lag() > PRESSING_LAG))
                return True
            if self._stop.is_set():
                return False
            self._report.failed(answer.failure)
            backoff = next_backoff(backoff)
            self._stop.wait(backoff)


def wait_exported(exporter: JournalExporter, seconds: float) -> bool:
    """Waits until nothing lags; for tests and benchmarks."""
    deadline = time.monotonic() + seconds
    while exporter.lag():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
