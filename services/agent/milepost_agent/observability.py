"""The observability mode: what it is now, until when, and who switched it. Stored, so that it holds over restarts."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

from milepost_agent.store import NewEvent, NewRequest, Store
from milepost_service.correlation import current_correlation_id, new_correlation_id

Mode = Literal["shipping", "debug"]
META_KEY = "observability"


@dataclass(frozen=True)
class ModeRecord:
    """`until` in seconds since the epoch; None when the mode does not end by itself."""

    mode: Mode
    until: float | None
    cause: str


class Observability:
    """Switches detail at run time. In debug, the log of this process is at level DEBUG."""

    def __init__(self, store: Store, base: Mode, log_level: str, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._base = ModeRecord(base, None, "spec.observability.mode")
        self._log_level = log_level
        self._now = now
        self._record = self._base
        self._timer: asyncio.TimerHandle | None = None

    @property
    def record(self) -> ModeRecord:
        return self._record

    async def start(self) -> None:
        """Goes on with the mode that an earlier process was told, unless its time is over."""
        stored = await self._store.get_meta(META_KEY)
        record = ModeRecord(**json.loads(stored)) if stored else self._base
        self._apply(record if record.until is None or record.until > self._now() else self._base)

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()

    async def switch(
        self, mode: Mode, seconds: float | None, cause: str, request: NewRequest | None = None
    ) -> ModeRecord:
        """Sets the mode, for `seconds` or until it is switched again; returns what is in force.

        Raises:
            RequestConflict: the request id belongs to another request.
        """
        until = self._now() + seconds if seconds is not None and mode == "debug" else None
        record = ModeRecord(mode, until, cause)
        event = NewEvent(
            "ObservabilityChanged", data={**asdict(record), "until": iso(until), "previous": self._record.mode}
        )
        correlation_id = current_correlation_id() or new_correlation_id()
        meta = {META_KEY: json.dumps(asdict(record))}
        if await self._store.journal_own([event], correlation_id=correlation_id, meta=meta, request=request):
            self._apply(record)
        return self._record

    def _apply(self, record: ModeRecord) -> None:
        self.stop()
        self._record = record
        logging.getLogger().setLevel(logging.DEBUG if record.mode == "debug" else self._log_level)
        if record.until is not None:
            delay = max(record.until - self._now(), 0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._apply, self._base)


def iso(time: float | None) -> str | None:
    """UTC, to the millisecond."""
    if time is None:
        return None
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
