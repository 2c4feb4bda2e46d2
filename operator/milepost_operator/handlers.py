"""kopf's part: it discovers, lists, watches and reconnects; every event is handed on as it is."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import kopf

from milepost_operator.cluster import AGENT_WORKFLOW, CLAIM, MODEL_SERVICE, POD, TYPES, ResourceType
from milepost_operator.manifests import CHILD_KINDS
from milepost_operator.names import FIELD_MANAGER, LABEL_MANAGED_BY, LABEL_NAME, LABEL_PART_OF, PART_OF
from milepost_operator.observation import Object

WATCHED: tuple[ResourceType, ...] = (
    AGENT_WORKFLOW,
    MODEL_SERVICE,
    *(TYPES[child.api_version, child.kind] for child in CHILD_KINDS),
    POD,
)
"""Our own kinds, every kind that we may own, and pods."""
FINALIZER = "milepost.dev/finalizer"
"""Never set; kopf wants to know what it would be called."""
LONGEST_BACKOFF_SECONDS = 15.0
PAGE_SIZE = 200

Hear = Callable[[ResourceType, str | None, Object], None]
"""Is told the type of an object, the type of the event (None while kopf lists) and the object."""


def selector(type_: ResourceType) -> str:
    """Labels by which the API server picks what we want to see of a type."""
    if type_ in {AGENT_WORKFLOW, MODEL_SERVICE}:
        return ""
    if type_ is POD:
        return f"{LABEL_PART_OF}={PART_OF}"
    # A StatefulSet's claims are not ours, and carry the labels by which its pods are selected.
    return f"{LABEL_NAME}={PART_OF}" if type_ is CLAIM else f"{LABEL_MANAGED_BY}={FIELD_MANAGER}"


def registry_for(types: Sequence[ResourceType], hear: Hear) -> kopf.OperatorRegistry:
    """A registry with one handler a type, and the login of the official client."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry, id="login")(_login)
    for type_ in types:
        version = type_.api_version.rpartition("/")[2]
        watch = kopf.on.event(
            group=type_.group, version=version, plural=type_.plural, registry=registry, id=type_.plural
        )
        watch(_handler(type_, hear))
    return registry


def settings_for(types: Sequence[ResourceType]) -> kopf.OperatorSettings:
    """kopf as a watcher and no more: no peering, no finalizers, nothing stored on objects, no events of its own."""
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.persistence.finalizer = FINALIZER
    settings.persistence.diffbase_storage = _Nothing()
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="milepost.dev", v1=False)
    settings.queueing.idle_timeout = 0.1
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 30
    settings.watching.chunk_size = PAGE_SIZE
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _Backoffs()
    for type_ in types:
        if labels := selector(type_):
            version = type_.api_version.rpartition("/")[2]
            settings.watching.label_selectors[type_.group, version, type_.plural] = labels
    return settings


def _handler(type_: ResourceType, hear: Hear) -> Callable[..., Any]:
    async def handle(event: Any, **_: Any) -> None:
        hear(type_, event["type"], event["object"])

    return handle


async def _login(logger: Any, settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_via_client(logger=logger, settings=settings)


class _Backoffs:
    """Pauses without end, so that a watch outlives every outage."""

    def __iter__(self) -> Iterator[float]:
        pause = 0.5
        while True:
            yield pause
            pause = min(LONGEST_BACKOFF_SECONDS, pause * 2)


class _Nothing(kopf.DiffBaseStorage):
    """Stores nothing and compares nothing: what to do follows from the state alone."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None
