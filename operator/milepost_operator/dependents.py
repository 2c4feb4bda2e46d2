"""Which resources must be looked at again when a ModelService offers something else than before."""

from collections import defaultdict

from milepost_operator.cache import ResourceKey
from milepost_operator.cluster import AGENT_WORKFLOW
from milepost_operator.observation import Object, References

_Offer = tuple[str, int | None, str | None, str | None, tuple[str, ...], tuple[str, ...]]


class Dependents:
    """References turned round: from a service to those that name it, and to the workflows that may choose it."""

    def __init__(self) -> None:
        self._references: dict[ResourceKey, References] = {}
        self._by_service: defaultdict[tuple[str, str], set[ResourceKey]] = defaultdict(set)
        self._workflows: defaultdict[str, set[ResourceKey]] = defaultdict(set)
        self._offers: dict[tuple[str, str], _Offer] = {}

    def note(self, key: ResourceKey, references: References) -> None:
        """Remembers what a resource names in its namespace."""
        if self._references.get(key) == references:
            return
        self.forget(key)
        self._references[key] = references
        for name in references.services:
            self._by_service[key.namespace, name].add(key)
        if key.kind == AGENT_WORKFLOW.kind:
            self._workflows[key.namespace].add(key)

    def forget(self, key: ResourceKey) -> None:
        """Drops what a resource named."""
        known = self._references.pop(key, None)
        if known is None:
            return
        for name in known.services:
            self._by_service[key.namespace, name].discard(key)
            if not self._by_service[key.namespace, name]:
                del self._by_service[key.namespace, name]
        self._workflows[key.namespace].discard(key)

    def affected(self, key: ResourceKey, service: Object | None) -> frozenset[ResourceKey]:
        """Who depends on a ModelService, if it is not as it was when this was last asked; None: it is gone."""
        place = (key.namespace, key.name)
        old, new = self._offers.get(place), None if service is None else _offer(service)
        if old == new:
            return frozenset()
        if new is None:
            del self._offers[place]
        else:
            self._offers[place] = new
        found = set(self._by_service.get(place, ()))
        # A workflow shows what can be chosen now, whoever offers it.
        found |= self._workflows.get(key.namespace, set())
        return frozenset(found - {key})


def _offer(service: Object) -> _Offer:
    """Identity, spec, readiness and capabilities: all that others can depend on."""
    status = service.get("status") or {}
    ready: Object = next((found for found in status.get("conditions", ()) if found["type"] == "Ready"), {})
    return (
        service["metadata"]["uid"],
        service["metadata"].get("generation"),
        ready.get("status"),
        ready.get("reason"),
        tuple(status.get("capabilities", ())),
        tuple(service.get("spec", {}).get("capabilities", ())),
    )
