"""The resource that an object belongs to, and the part of the object that says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from milepost_crds import AgentWorkflow, ModelService
from milepost_operator.manifests.comparison import digest
from milepost_operator.names import ANNOTATION_APPLIED_HASH, Role, object_labels, selector_labels
from milepost_operator.observation import Object


@dataclass(frozen=True)
class Owner:
    """Whose child an object is, and in which role its pods work."""

    api_version: str
    kind: str
    name: str
    namespace: str
    uid: str
    role: Role

    @classmethod
    def of(cls, resource: AgentWorkflow | ModelService, role: Role) -> "Owner":
        """The owner that a stored resource is; one that was never stored has no uid."""
        metadata = resource.metadata
        return cls(resource.api_version, resource.kind, metadata.name, metadata.namespace, metadata.uid or "", role)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of every child."""
        return object_labels(self.name, self.role)

    @property
    def selector(self) -> dict[str, str]:
        """Labels that select the pods."""
        return selector_labels(self.name, self.role)

    def child(
        self,
        api_version: str,
        kind: str,
        name: str,
        body: Mapping[str, Any],
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Object:
        """An object that is collected with its owner, marked with the hash of all that is asked of it."""
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels | dict(labels or {}),
            "ownerReferences": [self._reference()],
        }
        wanted = {"apiVersion": api_version, "kind": kind, "metadata": metadata} | dict(body)
        hashed = digest(wanted | {"metadata": metadata | {"annotations": dict(annotations or {})}})
        metadata["annotations"] = dict(annotations or {}) | {ANNOTATION_APPLIED_HASH: hashed}
        return wanted

    def _reference(self) -> dict[str, Any]:
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
