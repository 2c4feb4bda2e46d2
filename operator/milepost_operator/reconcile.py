"""One pass over one resource: gather, plan, apply what differs, prune, write the status, tell of transitions."""

import asyncio
import logging
import socket
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from milepost_crds import AgentWorkflow, ManifestError, ModelService, parse_resource
from milepost_operator.adoption import Adoption
from milepost_operator.cache import Cache, ResourceKey
from milepost_operator.cluster import NAME_TAKEN, TYPES, ApiError, Cluster
from milepost_operator.contests import Contests
from milepost_operator.dependents import Dependents
from milepost_operator.describe import Describer
from milepost_operator.gather import Gathered, Gatherer
from milepost_operator.manifests import in_sync
from milepost_operator.names import FIELD_MANAGER
from milepost_operator.observation import (
    Defaults,
    Description,
    Object,
    ObjectKey,
    Observed,
    Plan,
    PlannedEvent,
    Refusal,
    Resource,
)
from milepost_operator.planning import downloads, invalid_status, plan, references_of
from milepost_operator.pod_asker import PodAsker

NOTE_LIMIT = 1024
"""Longest note that the API server takes in an event."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a pass ended.

    `failure` asks for another one soon, `refused` for one after the user had time to act; `unsaid` for one that writes
    the status, when nothing more urgent is left; `overtaken` for one over what the resource has become meanwhile.
    """

    requeue_after: float | None = None
    unsaid: bool = False
    overtaken: bool = False
    failure: ApiError | None = None
    refused: bool = False


@dataclass
class _Writes:
    refusals: list[Refusal] = field(default_factory=list)
    failure: ApiError | None = None
    terminating: bool = False
    done: int = 0
    wait: float | None = None
    """Seconds until a contested child may be repaired."""

    @property
    def unreachable(self) -> bool:
        return self.failure is not None and self.failure.code == 0

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be written: what runs may not stand on an object of somebody else."""
        return self.unreachable or self.terminating or any(found.reason == NAME_TAKEN for found in self.refusals)


class Reconciler:
    """Brings the children and the status of a resource to what is planned for it."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        *,
        gatherer: Gatherer,
        dependents: Dependents,
        describer: Describer | None,
        stores: PodAsker | None,
        starts: PodAsker | None = None,
        defaults: Defaults,
        repaired: Callable[[str], None] = lambda kind: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        instance: str = "",
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._gatherer = gatherer
        self._dependents = dependents
        self._describer = describer
        self._stores = stores
        self._starts = starts
        self._defaults = defaults
        self._repaired = repaired
        self._now = now
        self._instance = instance or socket.gethostname()
        self._contests = Contests()
        self._adoption = Adoption(cluster, cache)
        self._uids: dict[ResourceKey, str] = {}

    async def reconcile(
        self, key: ResourceKey, *, attempt: int = 0, hurried: Callable[[], bool] = lambda: False
    ) -> Outcome:
        """One pass; `attempt` counts the failed ones right before it. Raises nothing that the API server answers.

        While `hurried`, children that were written go before what is said of them.
        """
        body = self._cache.resource(key)
        if body is None or self._uids.get(key, body["metadata"]["uid"]) != body["metadata"]["uid"]:
            self._forget(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return Outcome()
        self._uids[key] = body["metadata"]["uid"]
        try:
            outcome = await self._pass(key, body, attempt, hurried)
        except ApiError as error:
            if error.namespace_is_terminating:
                return Outcome()
            return Outcome(failure=error, refused=not error.retriable)
        return replace(outcome, overtaken=self._is_overtaken(key, body))

    def _is_overtaken(self, key: ResourceKey, body: Object) -> bool:
        """Whether another spec is known now: the answer to our own write can bring it before its event does.

        The event is then no news any more, and would make nobody look.
        """
        latest = self._cache.resource(key)
        return latest is not None and _version(latest) != _version(body)

    async def _pass(self, key: ResourceKey, body: Object, attempt: int, hurried: Callable[[], bool]) -> Outcome:
        try:
            resource = parse_resource(body)
        except ManifestError as error:
            await self._write_status(body, invalid_status(body, str(error), self._now()))
            return Outcome()
        assert not isinstance(resource, Mapping) and resource.kind in {"AgentWorkflow", "ModelService"}
        gathered = await self._gather(key, body, resource)
        first = self._plan(resource, replace(gathered.observed, refusals=tuple(gathered.refusals)))
        writes = await self._carry_out(body, gathered.observed, first)
        if writes.terminating:
            return Outcome()
        if writes.unreachable:
            return Outcome(failure=writes.failure)
        if writes.done and not writes.refusals and not gathered.refusals and hurried():
            return Outcome(unsaid=True)
        told = [*gathered.refusals, *(found for found in writes.refusals if attempt or not _is_passing(found))]
        contested = self._contests.contested(body["metadata"]["uid"], self._clock())
        final = first
        if told != list(gathered.refusals) or contested != tuple(gathered.observed.contested):
            final = self._plan(resource, replace(gathered.observed, refusals=tuple(told), contested=contested))
        if await self._write_status(body, final.status):
            await self._tell(body, final.events)
        self._ask(key, body, resource, final.status)
        waits = [wait for wait in (final.requeue_after, writes.wait) if wait is not None]
        return Outcome(
            requeue_after=min(waits, default=None),
            failure=writes.failure or _as_error(writes.refusals or gathered.refusals),
            refused=writes.failure is None,
        )

    async def _gather(self, key: ResourceKey, body: Object, resource: Resource) -> Gathered:
        references = references_of(resource)
        self._dependents.note(key, references)
        uid = body["metadata"]["uid"]
        return await self._gatherer.gather(
            key,
            body,
            references,
            description=self._description(key, body, resource),
            contested=self._contests.contested(uid, self._clock()),
            unwritable=self._stores.known(key) if self._stores is not None else {},
            starting=self._starts.known(key) if self._starts is not None else {},
        )

    def _plan(self, resource: Resource, observed: Observed) -> Plan:
        return plan(resource, observed, self._defaults, self._now())

    async def _carry_out(self, body: Object, observed: Observed, wanted: Plan) -> _Writes:
        writes, uid = _Writes(), body["metadata"]["uid"]
        found = dict(observed.children)
        found |= {key_of(claim): claim for claim in observed.claims}
        for manifest in wanted.apply:
            if writes.ended:
                return writes
            child = key_of(manifest)
            if child in found and in_sync(manifest, found[child]):
                continue
            wait = self._contests.delay(uid, child, manifest, self._clock())
            if wait:
                writes.wait = min(wait, writes.wait or wait)
                continue
            await self._attempt(writes, "apply", child, self._apply(body, child, manifest))
        for child in wanted.prune:
            if child in found and not writes.ended:
                await self._attempt(writes, "delete", child, self._prune(child, found[child]))
        return writes

    async def _attempt(self, writes: _Writes, verb: str, child: ObjectKey, write: Any) -> None:
        try:
            await write
            writes.done += 1
        except ApiError as error:
            if error.namespace_is_terminating:
                writes.terminating = True
                return
            writes.refusals.append(Refusal(verb, child, error.code, error.reason, error.message))
            if error.retriable and (writes.failure is None or error.code == 0):
                writes.failure = error

    async def _apply(self, body: Object, child: ObjectKey, manifest: Object) -> None:
        uid = body["metadata"]["uid"]
        written = self._contests.has_written(uid, child)
        answer = await self._adoption.apply(body, child, manifest, written_before=written)
        self._cache.observe(TYPES[child.api_version, child.kind], answer)
        if self._contests.applied(uid, child, manifest, self._clock()):
            self._repaired(child.kind)
            log.info("Repaired %s %s", child.kind, child.name)

    async def _prune(self, child: ObjectKey, found: Object) -> None:
        metadata = found["metadata"]
        type_ = TYPES[child.api_version, child.kind]
        await self._cluster.delete(type_, metadata["namespace"], child.name, metadata["uid"])
        log.info("Pruned %s %s", child.kind, child.name)

    async def _write_status(self, body: Object, status: Mapping[str, Any]) -> bool:
        """Whether it had to be written."""
        if not status or same(status, body.get("status") or {}):
            return False
        metadata = body["metadata"]
        manifest = {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "status": status,
        }
        try:
            answer = await self._cluster.apply_status(manifest)
        except ApiError as error:
            # Gone, or another by the same name: its own event brings it back here.
            if error.code in {404, 409}:
                return False
            raise
        self._cache.observe(TYPES[body["apiVersion"], body["kind"]], answer)
        return True

    async def _tell(self, body: Object, events: Sequence[PlannedEvent]) -> None:
        for planned in events:
            try:
                await self._cluster.emit(self._event(body, planned))
            except ApiError as error:
                if not error.namespace_is_terminating:
                    log.warning("Event %s was not written: %s", planned.reason, error.message)

    def _event(self, body: Object, planned: PlannedEvent) -> Object:
        metadata = body["metadata"]
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}", "namespace": metadata["namespace"]},
            "eventTime": self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": FIELD_MANAGER,
            "reportingInstance": self._instance,
            "action": "Reconcile",
            "type": planned.kind,
            "reason": planned.reason,
            "note": planned.message[:NOTE_LIMIT],
            "regarding": {
                "apiVersion": body["apiVersion"],
                "kind": body["kind"],
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
        }

    def _description(self, key: ResourceKey, body: Object, resource: Resource) -> Description | None:
        """What the service said of itself in this life; what it said before is in its status."""
        if self._describer is None or not isinstance(resource, ModelService) or resource.spec.llama_cpp is None:
            return None
        return self._describer.known(key, _version(body))

    def _ask(self, key: ResourceKey, body: Object, resource: Resource, status: Mapping[str, Any]) -> None:
        """Has pods asked: agents what they lack, a service what it is busy with, and what it serves.

        The last only once nobody but its newest pods can answer.
        """
        if self._stores is not None and isinstance(resource, AgentWorkflow):
            self._stores.want(key, self._cache.pods(key))
        if self._starts is not None and isinstance(resource, ModelService) and downloads(resource):
            self._starts.want(key, self._cache.pods(key))
        if self._describer is None or not isinstance(resource, ModelService) or resource.spec.llama_cpp is None:
            return
        is_said = "digest" in status.get("model", {}) or self._describer.known(key, _version(body)) is not None
        pods = [] if is_said or not is_complete(status) else self._cache.pods(key)
        if any(map(is_ready, pods)) and not any("deletionTimestamp" in pod["metadata"] for pod in pods):
            self._describer.want(key, _version(body), f"{key.name}.{key.namespace}.svc:50052")

    def _forget(self, key: ResourceKey) -> None:
        uid = self._uids.pop(key, None)
        if uid is not None:
            self._contests.forget(uid)
            self._adoption.forget(uid)
        self._dependents.forget(key)
        if self._describer is not None:
            self._describer.forget(key)
        for asker in (self._stores, self._starts):
            if asker is not None:
                asker.forget(key)

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()


def key_of(found: Object) -> ObjectKey:
    """Which object of its namespace it is."""
    return ObjectKey(found["apiVersion"], found["kind"], found["metadata"]["name"])


def is_ready(pod: Object) -> bool:
    """Whether a pod's condition Ready is True."""
    conditions = (pod.get("status") or {}).get("conditions", ())
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


def is_complete(status: Mapping[str, Any]) -> bool:
    """Whether a status says that all pods are of the newest template and ready."""
    conditions = status.get("conditions", ())
    return any(found["type"] == "Progressing" and found["reason"] == "Complete" for found in conditions)


def _version(body: Object) -> tuple[str, int]:
    return body["metadata"]["uid"], body["metadata"].get("generation", 0)


def same(wanted: Any, found: Any) -> bool:
    """Whether two statuses mean the same: what is empty or zero may as well be left out."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(same(wanted.get(key), found.get(key)) for key in wanted.keys() | found.keys())
    if isinstance(wanted, list | tuple) and isinstance(found, list | tuple):
        return len(wanted) == len(found) and all(map(same, wanted, found))
    return wanted == found or (not wanted and not found)


def _is_passing(refusal: Refusal) -> bool:
    return ApiError(refusal.code, refusal.reason, refusal.message).retriable


def _as_error(refusals: Sequence[Refusal]) -> ApiError | None:
    return ApiError(refusals[0].code, refusals[0].reason, refusals[0].message) if refusals else None
