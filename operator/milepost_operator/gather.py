"""Everything that one resource depends on, brought together for planning."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from milepost_operator.cache import Cache, ResourceKey
from milepost_operator.cluster import (
    AGENT_WORKFLOW,
    CLAIM,
    CONFIG_MAP,
    EVENT,
    MODEL_SERVICE,
    SECRET,
    STORAGE_CLASS,
    ApiError,
    Cluster,
    ResourceType,
)
from milepost_operator.observation import Description, Object, ObjectKey, Observed, References, Refusal

LOOKUP_SECONDS = 3.0
WARNINGS_SECONDS = 5.0
PATIENCE_SECONDS = 4.0
"""How long a resource may be not ready before anybody asks for events about it."""

_OTHER_KIND = {AGENT_WORKFLOW.kind: MODEL_SERVICE.kind, MODEL_SERVICE.kind: AGENT_WORKFLOW.kind}

T = TypeVar("T")
_Warnings = Mapping[tuple[str, str], Sequence[Object]]


@dataclass(frozen=True)
class Gathered:
    """What was observed, and which look-ups were refused."""

    observed: Observed
    refusals: Sequence[Refusal]


class Gatherer:
    """Reads from the cache, and from the API server what is not watched: what users made and resources name."""

    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster = cluster
        self._cache = cache
        self._memo = _Memo()

    async def gather(
        self,
        key: ResourceKey,
        body: Object,
        references: References,
        *,
        description: Description | None,
        contested: Sequence[ObjectKey],
        unwritable: Mapping[str, str],
        starting: Mapping[str, str],
    ) -> Gathered:
        """All of it for one resource. Raises ApiError where the API server does not answer at all."""
        namespace = key.namespace
        refusals: list[Refusal] = []
        names = sorted(references.config_maps)
        maps = [name for name in names if await self._look(CONFIG_MAP, namespace, name, refusals)]
        claims = {name: await self._look(CLAIM, namespace, name, refusals) for name in sorted(references.claims)}
        keys = {name: await self._look(SECRET, namespace, name, refusals) for name, _ in sorted(references.secrets)}
        children, pods = self._cache.children(body["metadata"]["uid"]), self._cache.pods(key)
        own_claims = self._cache.claims(key)
        observed = Observed(
            children=children,
            pods=pods,
            claims=own_claims,
            events=await self._warnings(key, body, children, pods, own_claims),
            services=self._cache.services(namespace),
            namesake=self._cache.resource(key._replace(kind=_OTHER_KIND[key.kind])),
            config_maps=frozenset(maps),
            secrets=frozenset((name, item) for name, item in references.secrets if item in (keys[name] or ())),
            named_claims={name: found for name, found in claims.items() if found is not None},
            storage_class_exists=await self._class_exists(references.storage_class),
            description=description,
            contested=contested,
            unwritable=unwritable,
            starting=starting,
        )
        return Gathered(observed, refusals)

    async def _look(self, type_: ResourceType, namespace: str, name: str, refusals: list[Refusal]) -> Any:
        """What matters of an object that is named (of a Secret its keys, never a value); None where there is none."""
        try:
            question = (type_, namespace, name)
            return await self._memo.get(question, LOOKUP_SECONDS, lambda: self._fetch(type_, namespace, name))
        except ApiError as error:
            if error.retriable:
                raise
            key = ObjectKey(type_.api_version, type_.kind, name)
            refusals.append(Refusal("get", key, error.code, error.reason, error.message))
            return None

    async def _fetch(self, type_: ResourceType, namespace: str | None, name: str) -> Any:
        found = await self._cluster.get(type_, namespace, name)
        if found is None:
            return None
        if type_ is CLAIM:
            return found
        return frozenset(found.get("data") or ()) if type_ is SECRET else True

    async def _class_exists(self, name: str | None) -> bool:
        if not name:
            return True
        try:
            found = await self._memo.get(
                (STORAGE_CLASS, name), LOOKUP_SECONDS, lambda: self._fetch(STORAGE_CLASS, None, name)
            )
        except ApiError as error:
            if error.retriable:
                raise
            return True  # An operator of single namespaces may not look; the claim's events will tell.
        return found is not None

    async def _warnings(
        self,
        key: ResourceKey,
        body: Object,
        children: Mapping[ObjectKey, Object],
        pods: Sequence[Object],
        claims: Sequence[Object],
    ) -> Sequence[Object]:
        if not _is_stuck(body):
            return ()
        try:
            found = await self._memo.get(
                (EVENT, key.namespace), WARNINGS_SECONDS, lambda: self._fetch_warnings(key.namespace)
            )
        except ApiError:
            return ()  # They only explain; what is wrong shows without them.
        about = {(child.kind, child.name) for child in children}
        about |= {(item["kind"], item["metadata"]["name"]) for item in (*pods, *claims)}
        # A Deployment's ReplicaSet is not among the children, and is named after it.
        sets = [child.name + "-" for child in children if child.kind == "Deployment"]
        wanted = [
            event
            for (kind, name), events in found.items()
            if (kind, name) in about or (kind == "ReplicaSet" and any(name.startswith(prefix) for prefix in sets))
            for event in events
        ]
        return sorted(wanted, key=event_time)

    async def _fetch_warnings(self, namespace: str) -> _Warnings:
        found: defaultdict[tuple[str, str], list[Object]] = defaultdict(list)
        async for page in self._cluster.pages(EVENT, namespace, fields="type=Warning"):
            for event in page.items:
                about = event["involvedObject"]
                event["metadata"].pop("managedFields", None)
                found[about.get("kind", ""), about.get("name", "")].append(event)
        return found


def event_time(event: Object) -> str:
    """When an event happened last, as RFC 3339 in UTC, which sorts by time."""
    series = event.get("series") or {}
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return str(last or event["metadata"].get("creationTimestamp", ""))


def _is_stuck(body: Object) -> bool:
    """Whether it has been not ready for longer than an ordinary start takes."""
    conditions = (body.get("status") or {}).get("conditions", ())
    ready = next((found for found in conditions if found["type"] == "Ready"), None)
    if ready is None or ready["status"] == "True":
        return False
    since = datetime.fromisoformat(ready["lastTransitionTime"])
    return (datetime.now(UTC) - since).total_seconds() > PATIENCE_SECONDS


class _Memo:
    """Answers that hold for some seconds; who asks while the question is open waits for the same answer."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, tuple[float, asyncio.Future[Any]]] = {}

    async def get(self, question: Hashable, seconds: float, ask: Callable[[], Awaitable[T]]) -> T:
        now = asyncio.get_running_loop().time()
        due, answer = self._answers.get(question, (0.0, None))
        if answer is None or (answer.done() and now >= due):
            self._forget_old(now)
            answer = asyncio.ensure_future(_awaited(ask))
            self._answers[question] = (now + seconds, answer)
        return await asyncio.shield(answer)

    def _forget_old(self, now: float) -> None:
        for question in [old for old, (due, answer) in self._answers.items() if now >= due and answer.done()]:
            del self._answers[question]


async def _awaited(ask: Callable[[], Awaitable[T]]) -> T:
    return await ask()
