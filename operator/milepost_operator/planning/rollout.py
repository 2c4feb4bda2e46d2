"""How far the pods of a resource are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from milepost_crds import AgentWorkflow
from milepost_operator.names import stateful_set_name
from milepost_operator.observation import Object, ObjectKey, Observed, Resource


@dataclass(frozen=True)
class Rollout:
    """Pods that are wanted, exist, are ready, and are of the newest template; `seen`: their controller knows of it.

    `needed` of them must be ready for requests to be served.
    """

    wanted: int
    needed: int
    replicas: int = 0
    ready: int = 0
    updated: int = 0
    exists: bool = False
    seen: bool = False

    @property
    def complete(self) -> bool:
        """Whether all pods that are wanted are there, new and ready, and no others."""
        counts = (self.replicas, self.ready, self.updated)
        return self.exists and self.seen and all(count == self.wanted for count in counts)

    @property
    def serves(self) -> bool:
        """Whether enough pods are ready."""
        return self.wanted > 0 and self.ready >= self.needed

    @property
    def counted(self) -> str:
        """How many are ready, for people."""
        return f"{self.ready} of {self.wanted} {'pod is' if self.wanted == 1 else 'pods are'} ready"


def workload_key(resource: Resource) -> ObjectKey:
    """Which object runs the pods of a resource."""
    if isinstance(resource, AgentWorkflow):
        return ObjectKey("apps/v1", "StatefulSet", stateful_set_name(resource.name))
    return ObjectKey("apps/v1", "Deployment", resource.name)


def rollout_of(resource: Resource, observed: Observed) -> Rollout:
    """How far the pods of a resource are, as their controller says."""
    found = observed.children.get(workload_key(resource))
    wanted = resource.spec.replicas
    # Any pod of a service can answer; each pod of a workflow has runs that no other has.
    needed = wanted if isinstance(resource, AgentWorkflow) else 1
    if found is None:
        return Rollout(wanted, needed)
    status: Mapping[str, Any] = found.get("status") or {}
    return Rollout(
        wanted,
        needed,
        replicas=status.get("replicas", 0),
        ready=status.get("readyReplicas", 0),
        updated=_updated(found, status),
        exists=True,
        seen=status.get("observedGeneration", 0) >= found["metadata"].get("generation", 0),
    )


def _updated(found: Object, status: Mapping[str, Any]) -> int:
    current, update = status.get("currentRevision"), status.get("updateRevision")
    if found["kind"] == "StatefulSet" and current == update:
        # A StatefulSet stops counting updated pods when its rollout is over.
        return int(status.get("replicas", 0))
    return int(status.get("updatedReplicas", 0))
