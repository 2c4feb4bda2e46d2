"""Keeps the registry in step with the labelled Services of the agent's namespace."""

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import Iterator, Mapping
from typing import Any

from milepost_agent.clients import HealthMonitor
from milepost_agent.cluster_access import ApiAccess
from milepost_agent.cluster_api import Object, ServicesApi
from milepost_agent.errors import ApiUnavailable, StoreError, WatchExpired
from milepost_agent.registry import Entry, Registry, check_entry
from milepost_agent.store import Store
from milepost_service.errors import InvalidArgumentError

log = logging.getLogger(__name__)

GROUP = "milepost.dev"
SELECTOR = f"{GROUP}/registry=true"
CAPABILITY_LABEL = f"capability.{GROUP}/"
PORT_NAME = "grpc"
FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 15.0
SHORTEST_WATCH = 5.0
"""A watch that ends sooner counts as one more failure."""


class KubernetesRegistry:
    """One watching task. While the API server cannot be reached, the registry keeps what it knows."""

    def __init__(self, access: ApiAccess, registry: Registry, health: HealthMonitor, store: Store) -> None:
        self._access = access
        self._registry = registry
        self._health = health
        self._store = store
        self._task: asyncio.Task[None] | None = None
        self._checks: set[asyncio.Task[None]] = set()
        self._refused: dict[str, str] = {}
        self._trouble = ""
        self._backoff = FIRST_BACKOFF

    def start(self) -> None:
        """Begins to watch; returns at once."""
        self._task = asyncio.create_task(self._run(), name="registry-kubernetes")

    async def stop(self) -> None:
        for task in (self._task, *self._checks):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _run(self) -> None:
        while True:
            try:
                async with ServicesApi.open(self._access, SELECTOR) as api:
                    await self._follow(api)
            except WatchExpired:
                log.debug("the watch of Services expired; they are listed again")
            except ApiUnavailable as error:
                self._complain(str(error))
            except Exception:
                log.exception("the watch of Services failed; it begins again")
            await self._pause()

    async def _follow(self, api: ServicesApi) -> None:
        """Lists, then watches for ever. Raises ApiUnavailable, WatchExpired."""
        services, version = await api.list()
        await self._replace(services)
        while True:
            async with api.watch(version) as events:
                self._healed()
                with self._patience():
                    async for kind, service in events:
                        version = str(service["metadata"]["resourceVersion"])
                        if kind != "BOOKMARK":
                            await self._change(kind, service)
            await self._pause()

    async def _replace(self, services: Any) -> None:
        names = {name_of(service) for service in services}
        gone = [entry.name for entry in self._registry.adopted() if entry.name not in names]
        changed = [self._adopt(service) for service in services]
        for name in gone:
            self._registry.remove(name)
        if gone or any(changed):
            await self._save()
        self._refused = {name: text for name, text in self._refused.items() if name in names}

    async def _change(self, kind: str, service: Object) -> None:
        name = name_of(service)
        if kind == "DELETED":
            self._refused.pop(name, None)
            changed = self._withdraw(name)
        else:
            changed = self._adopt(service)
        if changed:
            await self._save()

    def _adopt(self, service: Object) -> bool:
        """Puts a Service into the registry, or takes one out that is not fit for it; True if anything changed."""
        name = name_of(service)
        try:
            entry = entry_of(service)
        except InvalidArgumentError as error:
            if self._refused.get(name) != str(error):
                self._refused[name] = str(error)
                log.warning("Service %s is passed over: %s", name, error)
            return self._withdraw(name)
        self._refused.pop(name, None)
        known = self._registry.get(name)
        entry = self._registry.adopt(entry)
        if entry == known:
            return False
        if not entry.healthy:
            check = asyncio.create_task(self._health.check(entry))
            self._checks.add(check)
            check.add_done_callback(self._checks.discard)
        return True

    def _withdraw(self, name: str) -> bool:
        known = self._registry.get(name)
        if known is None or known.lease_expires:
            return False
        self._registry.remove(name)
        return True

    async def _save(self) -> None:
        try:
            await self._store.save_services(self._registry.rows())
        except StoreError as error:  # the registry goes on in memory
            log.warning("the registry was not stored: %s", error)

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning(
                "Services of namespace %s cannot be watched, %d stay registered: %s",
                self._access.namespace,
                len(self._registry.adopted()),
                trouble,
            )
            self._trouble = trouble

    def _healed(self) -> None:
        if self._trouble:
            log.info("Services are watched again, %d are registered", len(self._registry.adopted()))
            self._trouble = ""

    @contextlib.contextmanager
    def _patience(self) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            if time.monotonic() - begun >= SHORTEST_WATCH:
                self._backoff = FIRST_BACKOFF

    async def _pause(self) -> None:
        await asyncio.sleep(self._backoff * random.uniform(0.5, 1.0))  # noqa: S311 -- spreads load, protects nothing
        self._backoff = min(self._backoff * 2, LONGEST_BACKOFF)


def name_of(service: Object) -> str:
    return str(service["metadata"]["name"])


def entry_of(service: Object) -> Entry:
    """The entry that a Service describes.

    Raises:
        InvalidArgumentError: an annotation is not what it should be, or nothing can be called.
    """
    metadata = service["metadata"]
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    labels: Mapping[str, str] = metadata.get("labels") or {}
    labelled = {
        key.removeprefix(CAPABILITY_LABEL)
        for key, value in labels.items()
        if key.startswith(CAPABILITY_LABEL) and value == "true"
    }
    entry = Entry(
        name=metadata["name"],
        target=f"{metadata['name']}.{metadata['namespace']}.svc:{_port(service)}",
        capabilities=tuple(sorted(labelled.union(_texts(annotations, "capabilities")))),
        description=annotations.get(f"{GROUP}/description", ""),
        examples=_texts(annotations, "examples"),
    )
    check_entry(entry)
    return entry


def _port(service: Object) -> int:
    spec = service["spec"]
    ports = spec.get("ports") or []
    if not ports:
        raise InvalidArgumentError("spec.ports: is empty; allowed: a port of gRPC")
    port = next((each for each in ports if each.get("name") == PORT_NAME), ports[0])
    inner = port.get("targetPort")
    # Nothing stands before the pods of a headless Service that could translate its port.
    return int(inner if spec.get("clusterIP") == "None" and isinstance(inner, int) else port["port"])


def _texts(annotations: Mapping[str, str], name: str) -> tuple[str, ...]:
    key = f"{GROUP}/{name}"
    try:
        texts = json.loads(annotations.get(key, "[]"))
    except (ValueError, RecursionError):
        texts = None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InvalidArgumentError(f'{key}: is not a JSON list of texts; allowed: for example ["coding"]')
    return tuple(texts)
