"""The newest overview of agents and services, kept up to date for as long as somebody looks at it."""

import asyncio
import logging
import time
from collections.abc import Callable

from milepost_gateway.journal import dump
from milepost_gateway.overview import Overview

SHORTEST = 2.0
"""Seconds between two looks, but when an agent came or went."""
URGENT = 0.2
LONGEST = 5.0
_log = logging.getLogger(__name__)


class Board:
    """`agents` and `services` as JSON, the same object for as long as it is the same, None until they were asked for.

    `changed` is called when one is new; `watched` says whether anybody looks; while nobody does nothing is asked.
    """

    def __init__(self, overview: Overview, changed: Callable[[], None], watched: Callable[[], bool]) -> None:
        self.agents: bytes | None = None
        self.services: bytes | None = None
        self._overview = overview
        self._changed, self._watched = changed, watched
        self._wake = asyncio.Event()
        self._dirty = self._urgent = False
        self._looked = 0.0

    def touch(self, *, urgent: bool = False) -> None:
        """Something happened that may show."""
        self._dirty = True
        self._urgent = self._urgent or urgent
        self._wake.set()

    def drop(self) -> None:
        """Nobody looks any more: what is shown next is asked for anew."""
        self.agents = self.services = None

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._due()
            self._dirty = self._urgent = False
            self._looked = time.monotonic()
            try:
                await self._look()
            except Exception:
                _log.exception("the overview of agents and services failed")

    async def _due(self) -> None:
        while True:
            self._wake.clear()
            since = time.monotonic() - self._looked
            wait = (URGENT if self._urgent else SHORTEST if self._dirty else LONGEST) - since
            watched = self._watched()
            if watched and wait <= 0:
                return
            try:
                async with asyncio.timeout(wait if watched else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        found = await asyncio.gather(self._overview.agents(), self._overview.services())
        agents, services = map(dump, found)
        if not self._watched():
            return
        before = self.agents, self.services
        self.agents = before[0] if agents == before[0] else agents
        self.services = before[1] if services == before[1] else services
        if (self.agents, self.services) != before:
            self._changed()
