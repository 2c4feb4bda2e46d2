"""Writes children without taking over what somebody else made under the name of one of them.

A child that is not known is applied without force, which costs no more than any apply. What then turns out to be
another's gets back what it had, and is looked at before it is written to again.
"""

from typing import Any

from milepost_operator.cache import Cache
from milepost_operator.cluster import NAME_TAKEN, TYPES, ApiError, Applied, Cluster
from milepost_operator.names import FIELD_MANAGER, LABEL_MANAGED_BY
from milepost_operator.observation import Object, ObjectKey


class Adoption:
    """Tells our children from objects of others. For one event loop."""

    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster = cluster
        self._cache = cache
        self._foreign: dict[str, dict[ObjectKey, str]] = {}

    async def apply(self, owner: Object, child: ObjectKey, manifest: Object, *, written_before: bool) -> Object:
        """The child after the write; `written_before`: by this process, for this owner.

        Raises ApiError with the reason NameTaken where an object of another origin has the name.
        """
        uid = owner["metadata"]["uid"]
        type_ = TYPES[child.api_version, child.kind]
        if self._cache.known_version(type_, manifest["metadata"]["namespace"], child.name):
            return (await self._cluster.apply(manifest)).found
        await self._look_at_foreign(uid, child, manifest)
        try:
            answer = await self._cluster.apply(manifest, force=False)
        except ApiError as error:
            if error.code not in {409, 422}:
                raise
            return await self._take_up(uid, child, manifest, error)
        if written_before or not _was_there_first(answer, owner):
            return answer.found
        await self._give_back(manifest)
        raise self._taken(uid, child, answer.found)

    def forget(self, owner_uid: str) -> None:
        """The resource is gone."""
        self._foreign.pop(owner_uid, None)

    async def _look_at_foreign(self, uid: str, child: ObjectKey, manifest: Object) -> None:
        known = self._foreign.get(uid, {}).get(child)
        if known is None:
            return
        found = await self._find(manifest)
        if found is not None and found["metadata"]["uid"] == known and not _is_ours(found, uid):
            raise self._taken(uid, child, found)
        del self._foreign[uid][child]

    async def _take_up(self, uid: str, child: ObjectKey, manifest: Object, error: ApiError) -> Object:
        """Writes an object of ours that is not known because its label is gone; `error` came without force."""
        found = await self._find(manifest)
        if found is None:
            raise error
        if not _is_ours(found, uid):
            raise self._taken(uid, child, found)
        return (await self._cluster.apply(manifest)).found

    async def _find(self, manifest: Object) -> Object | None:
        metadata = manifest["metadata"]
        type_ = TYPES[manifest["apiVersion"], manifest["kind"]]
        # Listed, since most kinds are only granted to be listed.
        async for page in self._cluster.pages(type_, metadata["namespace"], fields=f"metadata.name={metadata['name']}"):
            for found in page.items:
                return found
        return None

    async def _give_back(self, manifest: Object) -> None:
        """Takes away our fields and the reference to the owner; what others wrote stays."""
        metadata = manifest["metadata"]
        nothing = {
            "apiVersion": manifest["apiVersion"],
            "kind": manifest["kind"],
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        }
        answer = await self._cluster.apply(nothing, force=False)
        # A watch may tell of it as of one of ours only now.
        self._cache.remove(TYPES[manifest["apiVersion"], manifest["kind"]], answer.found)

    def _taken(self, uid: str, child: ObjectKey, found: Object) -> ApiError:
        self._foreign.setdefault(uid, {})[child] = found["metadata"]["uid"]
        return ApiError(409, NAME_TAKEN, f"{child.kind} {child.name} exists and is not of this resource")


def _was_there_first(answer: Applied, owner: Object) -> bool:
    """Whether an object that was applied unseen is older than its owner, and so is not its child.

    Times count whole seconds: of two alike, others who wrote to it speak for its being older.
    """
    made, owner_made = (str(each["metadata"].get("creationTimestamp") or "") for each in (answer.found, owner))
    if answer.created or not made or made > owner_made:
        return False
    return made < owner_made or any(
        entry.get("manager") != FIELD_MANAGER and entry.get("subresource") != "status"
        for entry in _managers(answer.found)
    )


def _is_ours(found: Object, uid: str) -> bool:
    metadata = found["metadata"]
    return (
        (metadata.get("labels") or {}).get(LABEL_MANAGED_BY) == FIELD_MANAGER
        or any(reference.get("uid") == uid for reference in metadata.get("ownerReferences") or ())
        or any(entry.get("manager") == FIELD_MANAGER for entry in _managers(found))
    )


def _managers(found: Object) -> list[dict[str, Any]]:
    return list(found["metadata"].get("managedFields") or ())
