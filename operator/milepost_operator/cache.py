"""What was last seen of our resources, their children, pods and claims, small enough to keep a thousand of them.

Fed by watch events, by listings and by the answers to our own writes; the newer resourceVersion wins. Used by one event
loop only.
"""

import json
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from milepost_operator.cluster import CLAIM, MODEL_SERVICE, OWNERS, POD, ResourceType
from milepost_operator.names import LABEL_COMPONENT, LABEL_INSTANCE
from milepost_operator.observation import Object, ObjectKey
from milepost_operator.trimming import trimmed

_TOMBSTONES = 20_000


class ResourceKey(NamedTuple):
    """Which AgentWorkflow or ModelService."""

    kind: str
    namespace: str
    name: str


class Seen(Enum):
    """How an object differs from what was known of it."""

    NOTHING = "nothing"
    STATUS = "status"
    CHANGE = "change"


class Observation(NamedTuple):
    """What an object told, and the resources that it matters to."""

    seen: Seen
    affects: frozenset[ResourceKey]


_NOTHING = Observation(Seen.NOTHING, frozenset())


class _Place(NamedTuple):
    type: ResourceType
    namespace: str
    name: str


@dataclass(slots=True)
class _Entry:
    uid: str
    version: int
    body: bytes | Object
    owner: ResourceKey | None
    owner_uid: str | None
    shape: int
    """Hash of all but the status, to tell a change from news."""

    def object(self) -> Object:
        return json.loads(self.body) if isinstance(self.body, bytes) else self.body


class Cache:
    """The last seen state, indexed by owner."""

    def __init__(self) -> None:
        self._entries: dict[_Place, _Entry] = {}
        self._children: defaultdict[str, dict[_Place, _Entry]] = defaultdict(dict)
        self._followers: defaultdict[ResourceKey, dict[_Place, _Entry]] = defaultdict(dict)
        self._services: defaultdict[str, dict[str, Object]] = defaultdict(dict)
        self._tombstones: OrderedDict[str, int] = OrderedDict()

    def observe(self, type_: ResourceType, found: Object) -> Observation:
        """Takes an object in, unless what is known is as new or it is known to be deleted."""
        metadata = found["metadata"]
        place, version = _Place(type_, metadata["namespace"], metadata["name"]), version_of(found)
        old = self._entries.get(place)
        # What was only out of sight, its label edited away, comes back with a newer version.
        buried = self._tombstones.get(metadata["uid"], -1)
        if version <= buried or (old is not None and version <= old.version):
            return _NOTHING
        small = trimmed(type_, found)
        owner, owner_uid = _owner(type_, small)
        new = _Entry(
            uid=metadata["uid"],
            version=version,
            body=small if type_.kind in OWNERS else json.dumps(small, separators=(",", ":")).encode(),
            owner=owner,
            owner_uid=owner_uid,
            shape=_shape(small),
        )
        if old is not None:
            self._unlink(place, old)
        self._link(place, new)
        affects = frozenset(key for key in (owner, old.owner if old is not None else None) if key is not None)
        if old is None:
            # A child that appears is mostly our own work, told by a watch that was faster than the answer.
            return Observation(Seen.CHANGE if type_.kind in OWNERS else Seen.STATUS, affects)
        same = old.uid == new.uid and old.shape == new.shape and old.owner == owner
        return Observation(Seen.STATUS if same else Seen.CHANGE, affects)

    def remove(self, type_: ResourceType, found: Object) -> Observation:
        """Forgets an object that was deleted."""
        metadata = found["metadata"]
        self._bury(metadata["uid"], version_of(found))
        place = _Place(type_, metadata["namespace"], metadata["name"])
        entry = self._entries.get(place)
        if entry is None or entry.uid != metadata["uid"]:
            return _NOTHING
        self._unlink(place, entry)
        return Observation(Seen.CHANGE, frozenset({entry.owner} if entry.owner is not None else ()))

    def retain(
        self, type_: ResourceType, namespace: str | None, listed: Collection[tuple[str, str]], version: str
    ) -> frozenset[ResourceKey]:
        """Forgets what a whole listing at `version` lacks, unless it is newer; the resources that this matters to.

        `listed` holds namespaces and names; `namespace` is the scope of the listing, None for all.
        """
        at = int(version) if version.isdigit() else 0
        gone = [
            (place, entry)
            for place, entry in self._entries.items()
            if place.type is type_
            and namespace in {None, place.namespace}
            and (place.namespace, place.name) not in listed
            and entry.version <= at
        ]
        for place, entry in gone:
            self._bury(entry.uid, at)
            self._unlink(place, entry)
        return frozenset(entry.owner for _, entry in gone if entry.owner is not None)

    def resource(self, key: ResourceKey) -> Object | None:
        """One of our resources, or None where there is none."""
        entry = self._entries.get(_Place(OWNERS[key.kind], key.namespace, key.name))
        return None if entry is None else entry.object()

    def resources(self) -> Iterator[tuple[ResourceKey, Object]]:
        """All of our resources."""
        for place, entry in list(self._entries.items()):
            if place.type.kind in OWNERS:
                yield ResourceKey(place.type.kind, place.namespace, place.name), entry.object()

    def children(self, owner_uid: str) -> dict[ObjectKey, Object]:
        """Objects whose controller is the resource with this uid."""
        found = self._children.get(owner_uid, {})
        return {
            ObjectKey(place.type.api_version, place.type.kind, place.name): entry.object()
            for place, entry in found.items()
        }

    def pods(self, key: ResourceKey) -> list[Object]:
        """Pods of a resource, oldest first."""
        return sorted(self._following(key, POD), key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))

    def claims(self, key: ResourceKey) -> list[Object]:
        """Claims that were made for the pods of a resource."""
        return list(self._following(key, CLAIM))

    def services(self, namespace: str) -> Mapping[str, Object]:
        """The ModelServices of a namespace by name."""
        return dict(self._services.get(namespace, {}))

    def known_version(self, type_: ResourceType, namespace: str, name: str) -> int:
        """The version of an object that is known; 0 when none is."""
        entry = self._entries.get(_Place(type_, namespace, name))
        return 0 if entry is None else entry.version

    def __len__(self) -> int:
        return len(self._entries)

    def _following(self, key: ResourceKey, type_: ResourceType) -> Iterator[Object]:
        for place, entry in sorted(self._followers.get(key, {}).items(), key=lambda item: item[0].name):
            if place.type is type_:
                yield entry.object()

    def _link(self, place: _Place, entry: _Entry) -> None:
        self._entries[place] = entry
        if entry.owner_uid is not None:
            self._children[entry.owner_uid][place] = entry
        elif entry.owner is not None and place.type.kind not in OWNERS:
            self._followers[entry.owner][place] = entry
        if place.type is MODEL_SERVICE:
            self._services[place.namespace][place.name] = entry.object()

    def _unlink(self, place: _Place, entry: _Entry) -> None:
        del self._entries[place]
        _drop(self._children, entry.owner_uid, place)
        _drop(self._followers, entry.owner, place)
        if place.type is MODEL_SERVICE:
            _drop(self._services, place.namespace, place.name)

    def _bury(self, uid: str, version: int) -> None:
        self._tombstones[uid] = version
        if len(self._tombstones) > _TOMBSTONES:
            self._tombstones.popitem(last=False)


def version_of(found: Object) -> int:
    """An object's resourceVersion as the number that it is."""
    return int(found["metadata"]["resourceVersion"])


def _drop(index: dict[Any, dict[Any, Any]], key: Any, place: Any) -> None:
    if key in index:
        index[key].pop(place, None)
        if not index[key]:
            del index[key]


def _owner(type_: ResourceType, small: Object) -> tuple[ResourceKey | None, str | None]:
    """The resource that an object belongs to, and that one's uid where it is the controller."""
    metadata = small["metadata"]
    namespace = metadata["namespace"]
    if type_.kind in OWNERS:
        return ResourceKey(type_.kind, namespace, metadata["name"]), None
    for reference in metadata.get("ownerReferences", ()):
        ours = OWNERS.get(reference["kind"])
        if reference.get("controller") and ours is not None and reference["apiVersion"] == ours.api_version:
            return ResourceKey(reference["kind"], namespace, reference["name"]), reference["uid"]
    labels = metadata.get("labels", {})
    if type_ not in {POD, CLAIM} or LABEL_INSTANCE not in labels:
        return None, None
    kind = "AgentWorkflow" if labels.get(LABEL_COMPONENT) == "agent" else "ModelService"
    return ResourceKey(kind, namespace, labels[LABEL_INSTANCE]), None


def _shape(small: Object) -> int:
    metadata = {key: value for key, value in small["metadata"].items() if key != "resourceVersion"}
    annotations = metadata.pop("annotations", None) or {}
    metadata["annotations"] = {
        key: value for key, value in annotations.items() if not key.startswith("deployment.kubernetes.io/")
    }
    rest = {key: value for key, value in small.items() if key not in {"metadata", "status"}}
    # The generation speaks for the spec of whatever has one.
    if "generation" in metadata:
        rest.pop("spec", None)
    return hash(json.dumps((metadata, rest), sort_keys=True))
