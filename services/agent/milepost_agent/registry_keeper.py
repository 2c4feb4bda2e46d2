"""Stores who is known, so that an agent that is started anew need not wait until all have registered again."""

import asyncio
import contextlib
import logging
from dataclasses import replace

from milepost_agent.errors import StoreError
from milepost_agent.registry import Entry, Registry, ServiceUsage
from milepost_agent.store import Store

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.1
"""Short: an agent that is killed in it comes back without who had just come, and words its questions otherwise."""


class RegistryKeeper:
    """One watching task: stores the registry soon after somebody came, went or changed, and at most once a pause."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store
        self._known: dict[str, Entry] = {}
        self._task: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    def start(self) -> None:
        """Takes what the registry holds now as stored."""
        self._known = self._all()
        self._task = asyncio.create_task(self._run(), name="registry-keeper")

    async def stop(self) -> None:
        """Stores what is new. Ends with the watches of the registry."""
        self._ending.set()
        if self._task:
            await self._task

    async def _run(self) -> None:
        async for entry in self._registry.watch():
            if self._known.get(entry.name) != (None if entry.gone else _kept(entry)):
                await self._save()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), PAUSE_SECONDS)

    async def _save(self) -> None:
        self._known = self._all()
        try:
            await self._store.save_services(self._registry.rows())
        except StoreError as error:  # the registry goes on in memory
            self._known = {}
            log.warning("the registry was not stored: %s", error)

    def _all(self) -> dict[str, Entry]:
        return {entry.name: _kept(entry) for entry in self._registry.entries()}


def _kept(entry: Entry) -> Entry:
    """Without what changes all the time: health, usage and the end of the lease."""
    return replace(entry, healthy=False, usage=ServiceUsage(), lease_expires=float(entry.lease_expires > 0))
