"""Volumes: the state of an agent, and the downloads of a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from milepost_operator.manifests.metadata import Owner
from milepost_operator.names import DATA_VOLUME, cache_claim_name
from milepost_operator.observation import Object


@dataclass(frozen=True)
class ClaimTemplate:
    """What a volume is asked to be; `class_name` None takes the cluster's default."""

    size: str
    access_mode: str
    class_name: str | None = None

    @classmethod
    def found_in(cls, spec: Mapping[str, Any]) -> "ClaimTemplate":
        """What the spec of an existing claim, or of a StatefulSet's claim template, asks for."""
        requests = spec.get("resources", {}).get("requests", {})
        modes = spec.get("accessModes") or ["ReadWriteOnce"]
        return cls(str(requests.get("storage", "0")), modes[0], spec.get("storageClassName"))

    def as_spec(self) -> dict[str, Any]:
        """The spec of the claim."""
        spec: dict[str, Any] = {
            "accessModes": [self.access_mode],
            "resources": {"requests": {"storage": self.size}},
        }
        return spec | ({"storageClassName": self.class_name} if self.class_name is not None else {})

    def as_template(self, labels: Mapping[str, str]) -> dict[str, Any]:
        """The claim template of a StatefulSet."""
        return {"metadata": {"name": DATA_VOLUME, "labels": dict(labels)}, "spec": self.as_spec()}


def volume_claim(owner: Owner, claim: ClaimTemplate) -> Object:
    """The claim that keeps downloads; it goes with its ModelService."""
    return owner.child("v1", "PersistentVolumeClaim", cache_claim_name(owner.name), {"spec": claim.as_spec()})


def claim_expansion(name: str, namespace: str, size: str) -> Object:
    """Only the size of a claim that a StatefulSet made: all else stays as it is, and so does its owner."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"resources": {"requests": {"storage": size}}},
    }
