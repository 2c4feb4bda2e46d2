"""The services that the agent knows: leases, health, and who listens for changes. No I/O."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

MIN_LEASE_SECONDS = 2.0
MAX_LEASE_SECONDS = 300.0
DEFAULT_LEASE_SECONDS = 15.0


@dataclass(frozen=True)
class Entry:
    """One service. `lease_expires` in seconds since the epoch, 0 for one without a lease."""

    name: str
    target: str
    capabilities: tuple[str, ...] = ()
    description: str = ""
    examples: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    cpu_cores: float = 0.0
    memory_bytes: int = 0
    lease_expires: float = 0.0
    healthy: bool = False


class Registry:
    """Entries by name. Changes wake everyone who waits or watches; all calls belong to one event loop."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._entries: dict[str, Entry] = {}
        self._changed = asyncio.Event()
        self._watchers: set[asyncio.Queue[Entry | None]] = set()

    def entries(self) -> list[Entry]:
        return sorted(self._entries.values(), key=lambda entry: entry.name)

    def get(self, name: str) -> Entry | None:
        return self._entries.get(name)

    def ready(self, capability: str = "", name: str = "") -> list[Entry]:
        """Ready services, by name order; only those with the capability, or of the name, when one is given."""
        return [
            entry
            for entry in self.entries()
            if entry.healthy
            and (not capability or capability in entry.capabilities)
            and (not name or entry.name == name)
        ]

    def register(self, entry: Entry, lease_seconds: float = DEFAULT_LEASE_SECONDS) -> Entry:
        """Adds or renews an entry. A new target must prove its health first."""
        known = self._entries.get(entry.name)
        healthy = known.healthy if known and known.target == entry.target else False
        lease = min(max(lease_seconds, MIN_LEASE_SECONDS), MAX_LEASE_SECONDS)
        entry = replace(entry, lease_expires=self._now() + lease, healthy=healthy)
        self._put(entry)
        return entry

    def restore(self, rows: list[dict[str, Any]]) -> None:
        """Takes over what an earlier process knew for one lease; health must be shown anew."""
        lease_expires = self._now() + DEFAULT_LEASE_SECONDS
        for row in rows:
            lists = {"capabilities": tuple(row["capabilities"]), "examples": tuple(row["examples"])}
            entry = Entry(**{**row, **lists, "healthy": False, "lease_expires": lease_expires})
            self._entries.setdefault(entry.name, entry)

    def rows(self) -> list[dict[str, Any]]:
        return [asdict(entry) for entry in self.entries()]

    def remove(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        if entry:
            self._announce(replace(entry, healthy=False, lease_expires=0.0))

    def set_health(self, name: str, target: str, healthy: bool) -> None:
        """Notes the result of a health check of that target; one that came too late is ignored."""
        entry = self._entries.get(name)
        if entry and entry.target == target and entry.healthy != healthy:
            self._put(replace(entry, healthy=healthy))

    def expire(self) -> None:
        """Removes services whose lease ran out."""
        now = self._now()
        for entry in self.entries():
            if 0 < entry.lease_expires < now:
                self.remove(entry.name)

    async def wait_ready(self, timeout: float, capability: str = "", name: str = "") -> list[Entry]:
        """Ready services as soon as there is one; empty after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not (found := self.ready(capability, name)):
                    await self._changed.wait()
                return found
        except TimeoutError:
            return []

    async def watch(self) -> AsyncIterator[Entry]:
        """Every known entry, then each change; ends when watches are ended."""
        queue: asyncio.Queue[Entry | None] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            for known in self.entries():
                yield known
            while entry := await queue.get():
                yield entry
        finally:
            self._watchers.discard(queue)

    def end_watches(self) -> None:
        for queue in self._watchers:
            queue.put_nowait(None)

    def _put(self, entry: Entry) -> None:
        self._entries[entry.name] = entry
        self._announce(entry)

    def _announce(self, entry: Entry) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        for queue in self._watchers:
            queue.put_nowait(entry)
