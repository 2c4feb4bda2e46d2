"""The services that the agent knows: leases, health, and who listens for changes. No I/O."""

import asyncio
import re
import time
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from milepost_service.errors import AlreadyExistsError, InvalidArgumentError, ResourceExhaustedError
from milepost_service.settings import split_address

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
CAPABILITY = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
MAX_CAPABILITIES = 64
MAX_EXAMPLES = 64
MAX_DETAILS = 64
MAX_TEXT = 1024
MAX_SERVICES = 2000
"""Of those that registered, and as many again that the cluster vouches for."""

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
    """One service. `lease_expires` on the registry's clock, in seconds; 0: no lease, the cluster vouches for it."""

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
    _at_most(MAX_DETAILS, "service.details", entry.details)
    for text in (entry.description, *entry.examples, *entry.details, *entry.details.values()):
        if len(text) > MAX_TEXT:
            raise InvalidArgumentError(f"service: a text has {len(text)} characters; allowed: at most {MAX_TEXT}")


def _at_most(limit: int, field: str, items: Collection[str]) -> None:
    if len(items) > limit:
        raise InvalidArgumentError(f"{field}: has {len(items)}; allowed: at most {limit}")


class Registry:
    """Entries by name. Changes wake who waits for them and everyone who watches; all calls belong to one event loop.

    `now` is a clock that nobody sets, in seconds: leases last as long however the time of the day is corrected.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._entries: dict[str, Entry] = {}
        self._names: list[str] = []
        """All, in order."""
        self._ready: dict[str, list[str]] = {}
        """By capability, and under "" all: the names of the ready ones, in order."""
        self._arrivals: dict[tuple[str, str], asyncio.Event] = {}
        """By capability and name, each or both "": what those wait for who found nothing ready."""
        self._watchers: set[_Watcher] = set()

    def entries(self) -> list[Entry]:
        """All, by name order."""
        return [self._entries[name] for name in self._names]

    def get(self, name: str) -> Entry | None:
        return self._entries.get(name)

    def ready(self, capability: str = "", name: str = "") -> list[Entry]:
        """Ready services, by name order; only those with the capability, or of the name, when one is given."""
        names = self._ready.get(capability, [])
        if name:
            names = [name] if _holds(names, name) else []
        return [self._entries[each] for each in names]

    def register(self, entry: Entry, lease_seconds: float = DEFAULT_LEASE_SECONDS) -> Entry:
        """Adds or renews an entry. A new target must prove its health first.

        Raises:
            AlreadyExistsError: the cluster vouches for a service of that name.
            ResourceExhaustedError: MAX_SERVICES others are registered.
        """
        known = self._entries.get(entry.name)
        if known and not known.lease_expires:
            raise AlreadyExistsError(
                f"service.name: {entry.name!r} is a Service of this cluster; allowed: a name that none has"
            )
        if known is None:
            self._require_room(len(self._entries) - len(self.adopted()))
        lease = min(max(lease_seconds, MIN_LEASE_SECONDS), MAX_LEASE_SECONDS)
        return self._renew(replace(entry, lease_expires=self._now() + lease))

    def adopt(self, entry: Entry) -> Entry:
        """Adds or changes an entry that stays until it is removed, in place of a registered one of its name.

        Raises:
            ResourceExhaustedError: MAX_SERVICES others were adopted.
        """
        known = self._entries.get(entry.name)
        if known is None or known.lease_expires:
            self._require_room(len(self.adopted()))
        return self._renew(replace(entry, lease_expires=0.0))

    def adopted(self) -> list[Entry]:
        """The entries without a lease."""
        return [entry for entry in self.entries() if not entry.lease_expires]

    def lease_left(self, entry: Entry) -> float:
        """Seconds until the lease of a registered entry ends."""
        return entry.lease_expires - self._now()

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
            if entry.name not in self._entries:
                self._put(entry)

    def rows(self) -> list[dict[str, Any]]:
        """What is worth storing: not what a service uses at this moment. Of the lease, whether there is one."""
        return [{name: getattr(entry, name) for name in _STORED} for entry in self.entries()]

    def deregister(self, name: str, target: str = "") -> None:
        """Removes an entry that was registered, only if it is at `target` when one is given.

        What the cluster vouches for stays.
        """
        known = self._entries.get(name)
        if known and known.lease_expires and target in ("", known.target):
            self.remove(name)

    def remove(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        if entry:
            del self._names[bisect_left(self._names, name)]
            self._reindex(name, _tags(entry), ())
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
                    await self._arrivals.setdefault((capability, name), asyncio.Event()).wait()
                return found
        except TimeoutError:
            return []

    async def watch(self) -> AsyncIterator[Entry]:
        """Every known entry, then what changes, but for leases that are renewed; ends when watches are ended.

        Who reads slowly hears only the newest of several changes of one service.
        """
        watcher = _Watcher(self.entries())
        self._watchers.add(watcher)
        try:
            while entry := await watcher.next():
                yield entry
        finally:
            self._watchers.discard(watcher)

    def end_watches(self) -> None:
        """Lets every watcher read what it has not heard yet, and then end."""
        for watcher in self._watchers:
            watcher.end()

    def _require_room(self, held: int) -> None:
        if held >= MAX_SERVICES:
            raise ResourceExhaustedError(
                f"service: {held} are registered; allowed: at most {MAX_SERVICES}", retry_after=DEFAULT_LEASE_SECONDS
            )

    def _renew(self, entry: Entry) -> Entry:
        known = self._entries.get(entry.name)
        if known and known.target == entry.target:
            usage = known.usage if entry.usage == ServiceUsage() else entry.usage
            entry = replace(entry, healthy=known.healthy, usage=usage)
        else:
            entry = replace(entry, healthy=False)
        if known and known.lease_expires and entry == replace(known, lease_expires=entry.lease_expires):
            self._entries[entry.name] = entry
        elif entry != known:
            self._put(entry)
        return entry

    def _put(self, entry: Entry) -> None:
        known = self._entries.get(entry.name)
        if known is None:
            insort(self._names, entry.name)
        self._entries[entry.name] = entry
        self._reindex(entry.name, _tags(known), _tags(entry))
        self._announce(entry)

    def _reindex(self, name: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        """Moves a name to where its entry belongs now, and wakes who waited for it there."""
        if before == after:
            return
        for tag in before:
            names = self._ready[tag]
            del names[bisect_left(names, name)]
            if not names:
                del self._ready[tag]
        for tag in after:
            insort(self._ready.setdefault(tag, []), name)
        for awaited in ((tag, which) for tag in after for which in ("", name)):
            if arrival := self._arrivals.pop(awaited, None):
                arrival.set()

    def _announce(self, entry: Entry) -> None:
        for watcher in self._watchers:
            watcher.tell(entry)


class _Watcher:
    """What one watcher has not heard yet: the newest state of each service, so never more than there are services."""

    def __init__(self, known: Iterable[Entry]) -> None:
        self._unheard = {entry.name: entry for entry in known}
        self._heard: set[str] = set()
        self._news = asyncio.Event()
        self._ended = False

    def tell(self, entry: Entry) -> None:
        if entry.gone and entry.name not in self._heard:
            self._unheard.pop(entry.name, None)
        else:
            self._unheard[entry.name] = entry
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def next(self) -> Entry | None:
        """The one that has waited longest; None after the end."""
        while not self._unheard:
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        name = next(iter(self._unheard))
        entry = self._unheard.pop(name)
        if entry.gone:
            self._heard.discard(name)
        else:
            self._heard.add(name)
        return entry


def _tags(entry: Entry | None) -> tuple[str, ...]:
    """Where an entry is found while it is ready."""
    return ("", *dict.fromkeys(entry.capabilities)) if entry and entry.healthy else ()


def _holds(names: list[str], name: str) -> bool:
    place = bisect_left(names, name)
    return place < len(names) and names[place] == name
