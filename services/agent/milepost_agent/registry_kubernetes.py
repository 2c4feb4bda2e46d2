"""Keeps the registry in step with the labelled Services of the agent's namespace."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping, Sequence

from milepost_agent.clients import HealthMonitor
from milepost_agent.registry import Entry, Registry, check_entry
from milepost_service.errors import InvalidArgumentError, ServiceError
from milepost_service.kubernetes.access import ApiAccess
from milepost_service.kubernetes.api import Object
from milepost_service.kubernetes.reflector import Reflector

log = logging.getLogger(__name__)

GROUP = "milepost.dev"
SELECTOR = f"{GROUP}/registry=true"
CAPABILITY_LABEL = f"capability.{GROUP}/"
PORT_NAME = "grpc"


class KubernetesRegistry:
    """One watching task. While the API server cannot be reached, the registry keeps what it knows."""

    def __init__(self, access: ApiAccess, registry: Registry, health: HealthMonitor) -> None:
        self._namespace = access.namespace
        self._reflector = Reflector(access, f"/api/v1/namespaces/{access.namespace}/services", SELECTOR, self)
        self._registry = registry
        self._health = health
        self._task: asyncio.Task[None] | None = None
        self._checks: set[asyncio.Task[None]] = set()
        self._refused: dict[str, str] = {}

    def start(self) -> None:
        """Begins to watch; returns at once."""
        self._task = asyncio.create_task(self._reflector.run(), name="registry-kubernetes")

    async def stop(self) -> None:
        for task in (self._task, *self._checks):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def replace(self, services: Sequence[Object]) -> None:
        names = {name_of(service) for service in services}
        gone = [entry.name for entry in self._registry.adopted() if entry.name not in names]
        for name in gone:
            self._registry.remove(name)
        for service in services:
            self._adopt(service)
        self._refused = {name: text for name, text in self._refused.items() if name in names}

    async def change(self, kind: str, service: Object) -> None:
        if kind == "DELETED":
            name = name_of(service)
            self._refused.pop(name, None)
            self._withdraw(name)
        else:
            self._adopt(service)

    def _adopt(self, service: Object) -> None:
        """Puts a Service into the registry, or takes one out that is not fit for it."""
        name = name_of(service)
        try:
            entry = self._registry.adopt(entry_of(service))
        except ServiceError as error:
            if self._refused.get(name) != str(error):
                self._refused[name] = str(error)
                log.warning("Service %s is passed over: %s", name, error)
            self._withdraw(name)
            return
        self._refused.pop(name, None)
        if not entry.healthy:
            check = asyncio.create_task(self._health.check(entry))
            self._checks.add(check)
            check.add_done_callback(self._checks.discard)

    def _withdraw(self, name: str) -> None:
        known = self._registry.get(name)
        if known and not known.lease_expires:
            self._registry.remove(name)

    def unreachable(self, trouble: str) -> None:
        log.warning(
            "Services of namespace %s cannot be watched, %d stay registered: %s",
            self._namespace,
            len(self._registry.adopted()),
            trouble,
        )

    def reachable(self) -> None:
        log.info("Services are watched again, %d are registered", len(self._registry.adopted()))


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
