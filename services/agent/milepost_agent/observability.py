"""The observability mode of an agent: read, stored, journaled, and in force until something newer or its end."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from milepost_agent.errors import StoreError
from milepost_agent.observability_rules import CRASH_DETECTED, DEADLINE_PASSED, MODES, ModeRecord, Rules, rules_from
from milepost_agent.store import NewEvent, NewRequest, Store
from milepost_service import telemetry
from milepost_service.correlation import current_correlation_id, new_correlation_id
from milepost_service.json_form import iso_time
from milepost_service.telemetry.mode import Mode, ProcessMode, process_mode

META_KEY: Final = "observability"
LOOK_SECONDS: Final = 1.0
"""How long a change of the file may go unseen."""
_LONGEST_TEXT: Final = 64

log = logging.getLogger(__name__)


class Configured:
    """What the mode is when nobody sets it: what a file says, if there is one, else `otherwise`.

    With `environment`, which cannot change while the process runs, the file counts once it has changed since then.
    """

    def __init__(self, otherwise: ModeRecord, file: Path | None = None, environment: ModeRecord | None = None) -> None:
        self._otherwise = otherwise
        self._file = file
        self._environment = environment
        self._first = self._text()
        self._last = environment or otherwise
        self._complaint = ""

    def read(self) -> ModeRecord:
        """A file that cannot be understood is passed over: what it said before holds."""
        text = self._text()
        if self._environment is not None:
            if text == self._first:
                return self._environment
            self._environment = None
        if text is None:
            self._complaint, self._last = "", self._otherwise
        elif text in MODES:
            mode: Mode = "debug" if text == "debug" else "shipping"
            self._complaint, self._last = "", ModeRecord(mode, None, "observability file")
        else:
            self._complain(f"{self._file}: {text!r} is no mode; allowed: shipping, debug")
        return self._last

    def _text(self) -> str | None:
        """What the file holds, as far as it matters; None without one."""
        if self._file is None:
            return None
        try:
            with self._file.open(errors="replace") as file:
                return file.read(_LONGEST_TEXT).strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"({error.strerror})"

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            log.warning("%s; the mode stays %s", complaint, self._last.mode)
            self._complaint = complaint


@dataclass(frozen=True)
class Clock:
    """`now` in seconds since the epoch; `crash_seconds` is how long a crash turns debug on."""

    now: Callable[[], float] = time.time
    crash_seconds: float = 300.0


class Observability:
    """Decides about the mode of this process by the rules of `observability_rules`, and tells it of each change."""

    def __init__(
        self, store: Store, configured: Configured, clock: Clock | None = None, process: ProcessMode = process_mode
    ) -> None:
        self._store = store
        self._configured = configured
        self._clock = clock or Clock()
        self._process = process
        self._rules = Rules.of(configured.read())
        self._started = False
        self._calm_at = 0.0
        self._changing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def record(self) -> ModeRecord:
        """What is in force."""
        return self._rules.at(self._clock.now())

    async def start(self, *, crashed: bool = False, events: Sequence[NewEvent] = (), correlation_id: str = "") -> None:
        """Goes on with what is stored, or in the same process with what it decided, and commits what changed.

        Args:
            crashed: The process before did not end in order.
            events: Of the agent itself, for the same commit.

        Raises:
            StoreError: the store cannot be written.
        """
        await self.stop()
        async with self._changing:
            now = self._clock.now()
            rules = self._rules if self._started else await self._stored()
            configured = self._configured.read()
            trigger = configured.mode != rules.configured.mode
            rules = rules.configure(configured)
            if crashed:
                rules = rules.crashed(now, self._clock.crash_seconds)
            if not self._started:
                self._calm_at = now + self._clock.crash_seconds
            await self._commit(rules, trigger=trigger, events=events, correlation_id=correlation_id, always=True)
            self._started = True
        self._task = asyncio.create_task(self._watch(), name="observability")

    async def stop(self) -> None:
        """Looks no more at the file and the time."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def switch(
        self, mode: Mode, seconds: float | None, cause: str, request: NewRequest | None = None
    ) -> ModeRecord:
        """Sets the mode by hand; debug for `seconds`, else until something newer. Returns what is in force.

        Raises:
            RequestConflict: the request id belongs to another request.
            StoreError: the store cannot be written.
        """
        async with self._changing:
            until = self._clock.now() + seconds if seconds is not None and mode == "debug" else None
            rules = self._rules.set_by_hand(ModeRecord(mode, until, cause))
            await self._commit(rules, trigger=True, request=request, always=True)
        return self.record

    async def look(self) -> None:
        """Notices what the file says and what is over; a store that cannot be written holds nothing up."""
        async with self._changing:
            configured = self._configured.read()
            trigger = configured.mode != self._rules.configured.mode
            rules = self._rules.configure(configured)
            if rules.series and self._clock.now() >= self._calm_at:
                rules = rules.lived()
            try:
                await self._commit(rules, trigger=trigger)
            except StoreError:
                # What is in force must not wait for a disk. It is journaled when the disk takes it.
                self._rules = replace(rules, in_force=self._rules.in_force)
                self._tell()

    async def _watch(self) -> None:
        while True:
            now = self._clock.now()
            end = self._rules.next_end(now)
            await asyncio.sleep(LOOK_SECONDS if end is None else min(max(end - now, 0.01), LOOK_SECONDS))
            try:
                await self.look()
            except Exception:
                log.exception("the observability mode cannot be looked after")

    async def _stored(self) -> Rules:
        configured = self._configured.read()
        stored = await self._store.get_meta(META_KEY)
        return rules_from(json.loads(stored), configured) if stored else Rules.of(configured)

    async def _commit(
        self,
        rules: Rules,
        *,
        trigger: bool,
        events: Sequence[NewEvent] = (),
        correlation_id: str = "",
        request: NewRequest | None = None,
        always: bool = False,
    ) -> None:
        """Stores the rules, with the event of a change, unless nothing is new or the request was done before.

        Args:
            trigger: Somebody changed something; else it is only time that passed, or a crash.
        """
        now = self._clock.now()
        rules = rules.settled(now, self._clock.crash_seconds)
        record, before = rules.at(now), rules.in_force
        rules = replace(rules, in_force=record)
        if (record.mode, record.until) != (before.mode, before.until):
            cause = record.cause if trigger or record.cause == CRASH_DETECTED else DEADLINE_PASSED
            events = [*events, _changed(record, before.mode, cause)]
        if rules == self._rules and not always:
            return
        correlation_id = correlation_id or current_correlation_id() or new_correlation_id()
        meta = {META_KEY: json.dumps(rules.as_json())}
        if await self._store.journal_own(events, correlation_id=correlation_id, meta=meta, request=request):
            self._rules = rules
            self._tell()

    def _tell(self) -> None:
        now = self._clock.now()
        record = self._rules.at(now)
        if record.until is None:
            self._process.decide(record.mode)
        else:
            self._process.decide(record.mode, max(record.until - now, 0.0))


def _changed(record: ModeRecord, previous: Mode, cause: str) -> NewEvent:
    until = None if record.until is None else iso_time(record.until)
    data = {"mode": record.mode, "previous": previous, "until": until, "cause": cause}
    return NewEvent("ObservabilityChanged", data=data, traceparent=telemetry.traceparent())
