"""A stand-in for the API server at the operator's own border to it: objects in a dictionary, and what it refuses."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from milepost_operator.cache import Cache
from milepost_operator.cluster import TYPES, ApiError, Applied, Listing, ResourceType
from milepost_operator.observation import Object

_CONTENT = {"data", "spec"}

Place = tuple[ResourceType, str | None, str]
Refuse = Callable[[str, str, str], ApiError | None]


class FakeCluster:
    """Counts what is written; `refuse(verb, kind, name)` may answer with an error instead."""

    def __init__(self, cache: Cache | None = None) -> None:
        self.objects: dict[Place, dict[str, Any]] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.reads: list[tuple[str, str, str]] = []
        self.events: list[Object] = []
        self.refuse: Refuse = lambda verb, kind, name: None
        self.forced: list[bool] = []
        self._before: dict[Place, dict[str, Any]] = {}
        self.cache = cache
        self._version = 100

    def put(self, type_: ResourceType, content: Object) -> dict[str, Any]:
        """Stores an object as somebody else would, and lets the cache hear of it."""
        found = copy.deepcopy(dict(content))
        self._version += 1
        found["metadata"] = {"uid": f"uid-{self._version}"} | found["metadata"]
        found["metadata"]["resourceVersion"] = str(self._version)
        self.objects[type_, found["metadata"].get("namespace"), found["metadata"]["name"]] = found
        if self.cache is not None:
            self.cache.observe(type_, found)
        return found

    def have(self, type_: ResourceType, content: Object) -> None:
        """Stores an object that no watch tells of, since it has no label of ours."""
        cache, self.cache = self.cache, None
        self.put(type_, content)
        self.cache = cache

    def drop(self, type_: ResourceType, namespace: str, name: str) -> None:
        """Deletes an object as somebody else would."""
        found = self.objects.pop((type_, namespace, name))
        if self.cache is not None:
            self.cache.remove(type_, found)

    def written(self, verb: str) -> list[str]:
        """Kinds of the objects that were written by a verb, in order."""
        return [kind for found, kind, _ in self.writes if found == verb]

    async def get(self, type_: ResourceType, namespace: str | None, name: str) -> Object | None:
        self._answer("get", type_.kind, name, self.reads)
        return self.objects.get((type_, namespace, name))

    async def pages(
        self, type_: ResourceType, namespace: str | None, *, labels: str = "", fields: str = "", whole: bool = True
    ) -> AsyncIterator[Listing]:
        self._answer("list", type_.kind, "", self.reads)
        items = [
            copy.deepcopy(found)
            for (kind, place, name), found in self.objects.items()
            if kind is type_ and namespace in {None, place} and fields in {"", f"metadata.name={name}"}
        ]
        yield Listing(items, str(self._version))

    async def apply(self, manifest: Object, *, force: bool = True) -> Applied:
        await asyncio.sleep(0)
        self._answer("apply", manifest["kind"], manifest["metadata"]["name"], self.writes)
        type_ = TYPES[manifest["apiVersion"], manifest["kind"]]
        metadata = manifest["metadata"]
        place = (type_, metadata["namespace"], metadata["name"])
        created, old = place not in self.objects, self.objects.get(place, {"metadata": {}})
        self.forced.append(force)
        if not force and any(old.get(part, manifest[part]) != manifest[part] for part in manifest.keys() & _CONTENT):
            raise ApiError(409, "Conflict", 'Apply failed with 1 conflict: conflict with "kubectl"')
        if metadata.keys() == {"name", "namespace"}:
            return Applied(copy.deepcopy(self.put(type_, self._before[place])), created)
        self._before[place] = old
        merged = {**old, **copy.deepcopy(dict(manifest))}
        merged["metadata"] = {**old["metadata"], **copy.deepcopy(metadata)}
        return Applied(copy.deepcopy(self.put(type_, merged)), created)

    async def apply_status(self, manifest: Object) -> Object:
        await asyncio.sleep(0)
        self._answer("status", manifest["kind"], manifest["metadata"]["name"], self.writes)
        type_ = TYPES[manifest["apiVersion"], manifest["kind"]]
        place = (type_, manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        if place not in self.objects:
            raise ApiError(404, "NotFound", "gone")
        return copy.deepcopy(self.put(type_, {**self.objects[place], "status": manifest["status"]}))

    async def delete(self, type_: ResourceType, namespace: str, name: str, uid: str) -> None:
        self._answer("delete", type_.kind, name, self.writes)
        if self.objects[type_, namespace, name]["metadata"]["uid"] == uid:
            self.drop(type_, namespace, name)

    async def emit(self, event: Object) -> None:
        self._answer("emit", "Event", event["reason"], self.writes)
        self.events.append(event)

    async def served_versions(self, group: str) -> Sequence[str]:
        return ["v1alpha1"]

    def _answer(self, verb: str, kind: str, name: str, log: list[tuple[str, str, str]]) -> None:
        log.append((verb, kind, name))
        error = self.refuse(verb, kind, name)
        if error is not None:
            raise error
