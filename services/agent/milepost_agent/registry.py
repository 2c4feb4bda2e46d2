"""The services that the agent knows: leases, health, and who listens for changes. No I/O."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from milepost_service.errors import AlreadyExistsError, InvalidArgumentError
from milepost_service.settings import split_address

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
CAPABILITY = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
MAX_CAPABILITIES = 64
MAX_EXAMPLES = 64
MAX_TEXT = 1024

MIN_LEASE_SECONDS = 2.0
MAX_LEASE_SECONDS = 300.0
DEFAULT_LEASE_SECONDS = 15.0


@dataclass(frozen=True)
class ServiceUsage:
    """What a service uses and does, under the names of the contract's `Usage`. A limit of 0 is none."""

    cpu_cores: float = 0.0
    memory_bytes: int = 0
    cpu_limit_cores: float = 0.0
    memory_limit_bytes: int = 0
    tokens_per_second: float = 0.0
    active_calls: int = 0
    queued_calls: int = 0
    source: str = ""


@dataclass(frozen=True)
class Entry:
    """One service. `lease_expires` in seconds since the epoch; 0: no lease, the cluster vouches for it."""

    name: str
    target: str
    capabilities: tuple[str, ...] = ()
    description: str = ""
    examples: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    usage: ServiceUsage = ServiceUsage()
    lease_expires: float = 0.0
    healthy: bool = False
    gone: bool = False
    """True only in what watchers are told at the end."""


_STORED = tuple(each.name for each in fields(Entry) if each.name != "usage")


def check_entry(entry: Entry) -> None:
    """Refuses what cannot be called or routed to.

    Raises:
        InvalidArgumentError: names the field and what is allowed.
    """
    if not NAME.fullmatch(entry.name):
        raise InvalidArgumentError(f"service.name: {entry.name[:64]!r} is no RFC 1123 label of 1 to 63 characters")
    try:
        split_address(entry.target)
    except ValueError as error:
        raise InvalidArgumentError(f"service.target: {error}") from None
    _at_most(MAX_CAPABILITIES, "service.capabilities", entry.capabilities)
    for capability in entry.capabilities:
        if not CAPABILITY.fullmatch(capability):
            raise InvalidArgumentError(
                f"service.capabilities: {capability[:64]!r} is no tag; allowed: a-z, 0-9 and -, 1 to 40 characters"
            )
    _at_most(MAX_EXAMPLES, "service.examples", entry.examples)
    for text in (entry.description, *entry.examples):
        if len(text) > MAX_TEXT:
            raise InvalidArgumentError(f"service: a text has {len(text)} characters; allowed: at most {MAX_TEXT}")


def _at_most(limit: int, field: str, items: tuple[str, ...]) -> None:
    if len(items) > limit:
        raise InvalidArgumentError(f"{field}: has {len(items)}; allowed: at most {limit}")


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
        """Adds or renews an entry. A new target must prove its health first.

        Raises:
            AlreadyExistsError: the cluster vouches for a service of that name.
        """
        known = self._entries.get(entry.name)
        if known and not known.lease_expires:
            raise AlreadyExistsError(
                f"service.name: {entry.name!r} is a Service of this cluster; allowed: a name that none has"
            )
        lease = min(max(lease_seconds, MIN_LEASE_SECONDS), MAX_LEASE_SECONDS)
        return self._renew(replace(entry, lease_expires=self._now() + lease))

    def adopt(self, entry: Entry) -> Entry:
        """Adds or changes an entry that stays until it is removed, in place of a registered one of its name."""
        return self._renew(replace(entry, lease_expires=0.0))

    def adopted(self) -> list[Entry]:
        """The entries without a lease."""
        return [entry for entry in self.entries() if not entry.lease_expires]

    def restore(self, rows: list[dict[str, Any]], *, keep_adopted: bool = False) -> None:
        """Takes over what an earlier process knew, for one lease; health must be shown anew.

        With `keep_adopted`, entries without a lease stay so: whoever adopted them will say when they are gone.
        """
        lease_expires = self._now() + DEFAULT_LEASE_SECONDS
        for row in rows:
            lists = {"capabilities": tuple(row["capabilities"]), "examples": tuple(row["examples"])}
            kept = keep_adopted and not row["lease_expires"]
            known = {name: value for name, value in row.items() if name in _STORED}
            entry = Entry(**{**known, **lists, "healthy": False, "lease_expires": 0.0 if kept else lease_expires})
            self._entries.setdefault(entry.name, entry)

    def rows(self) -> list[dict[str, Any]]:
        """What is worth storing: not what a service uses at this moment."""
        return [{name: getattr(entry, name) for name in _STORED} for entry in self.entries()]

    def deregister(self, name: str) -> None:
        """Removes an entry that was registered; what the cluster vouches for stays."""
        known = self._entries.get(name)
        if known and known.lease_expires:
            self.remove(name)

    def remove(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        if entry:
            self._announce(replace(entry, healthy=False, gone=True))

    def set_health(self, name: str, target: str, healthy: bool) -> None:
        """Notes the result of a health check of that target; one that came too late is ignored."""
        entry = self._entries.get(name)
        if entry and entry.target == target and entry.healthy != healthy:
            self._put(replace(entry, healthy=healthy))

    def set_usage(self, name: str, target: str, usage: ServiceUsage) -> None:
        """Notes what the service at that target uses now."""
        entry = self._entries.get(name)
        if entry and entry.target == target and entry.usage != usage:
            self._put(replace(entry, usage=usage))

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

    def _renew(self, entry: Entry) -> Entry:
        known = self._entries.get(entry.name)
        if known and known.target == entry.target:
            usage = known.usage if entry.usage == ServiceUsage() else entry.usage
            entry = replace(entry, healthy=known.healthy, usage=usage)
        else:
            entry = replace(entry, healthy=False)
        if entry != known:
            self._put(entry)
        return entry

    def _put(self, entry: Entry) -> None:
        self._entries[entry.name] = entry
        self._announce(entry)

    def _announce(self, entry: Entry) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        for queue in self._watchers:
            queue.put_nowait(entry)
