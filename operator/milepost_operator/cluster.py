"""The API server as the operator sees it: a handful of verbs on plain JSON objects, and what it may answer."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from milepost_crds import API_VERSION
from milepost_operator.errors import OperatorError
from milepost_operator.observation import Object


@dataclass(frozen=True)
class ResourceType:
    """A kind of object and where the API server keeps it."""

    api_version: str
    kind: str
    plural: str

    @property
    def group(self) -> str:
        """API group; "" is the core group."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path; namespace None is for all namespaces, or for what has none."""
        parts = ["apis" if self.group else "api", self.api_version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/" + "/".join(parts)


AGENT_WORKFLOW = ResourceType(API_VERSION, "AgentWorkflow", "agentworkflows")
MODEL_SERVICE = ResourceType(API_VERSION, "ModelService", "modelservices")
OWNERS: Mapping[str, ResourceType] = {found.kind: found for found in (AGENT_WORKFLOW, MODEL_SERVICE)}
"""Our own kinds by name."""

SERVICE_ACCOUNT = ResourceType("v1", "ServiceAccount", "serviceaccounts")
CONFIG_MAP = ResourceType("v1", "ConfigMap", "configmaps")
SECRET = ResourceType("v1", "Secret", "secrets")
SERVICE = ResourceType("v1", "Service", "services")
CLAIM = ResourceType("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
POD = ResourceType("v1", "Pod", "pods")
EVENT = ResourceType("v1", "Event", "events")
DEPLOYMENT = ResourceType("apps/v1", "Deployment", "deployments")
STATEFUL_SET = ResourceType("apps/v1", "StatefulSet", "statefulsets")
BUDGET = ResourceType("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
ROLE = ResourceType("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = ResourceType("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
STORAGE_CLASS = ResourceType("storage.k8s.io/v1", "StorageClass", "storageclasses")
NEW_EVENT = ResourceType("events.k8s.io/v1", "Event", "events")

TYPES: Mapping[tuple[str, str], ResourceType] = {
    (found.api_version, found.kind): found
    for found in (
        AGENT_WORKFLOW,
        MODEL_SERVICE,
        SERVICE_ACCOUNT,
        CONFIG_MAP,
        SECRET,
        SERVICE,
        CLAIM,
        POD,
        EVENT,
        DEPLOYMENT,
        STATEFUL_SET,
        BUDGET,
        ROLE,
        ROLE_BINDING,
        STORAGE_CLASS,
        NEW_EVENT,
    )
}


NAME_TAKEN = "NameTaken"
"""Reason of an error of our own: an object of another origin has the name of a child."""


class ApiError(OperatorError):
    """An answer that is no success. `code` is the HTTP status, 0 when there was no answer at all.

    `reason` is the API server's CamelCase word, `causes` the reasons of its details, `retry_after` seconds if it
    named some.
    """

    def __init__(
        self, code: int, reason: str, message: str, *, retry_after: float | None = None, causes: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.causes = tuple(causes)

    @property
    def retriable(self) -> bool:
        """Whether the same request may succeed a moment later."""
        return self.reason != NAME_TAKEN and (self.code in {0, 408, 409, 429} or self.code >= 500)

    @property
    def namespace_is_terminating(self) -> bool:
        """Whether nothing can be created any more, because the namespace goes away."""
        return self.code == 403 and "NamespaceTerminating" in self.causes


@dataclass(frozen=True)
class Listing:
    """Objects of one type in one scope, at one version of the store."""

    items: Sequence[dict[str, Any]]
    resource_version: str


class Applied(NamedTuple):
    """An object after an apply, and whether the apply created it."""

    found: Object
    created: bool


class Cluster(Protocol):
    """What the operator does to a cluster. Every method raises ApiError."""

    async def get(self, type_: ResourceType, namespace: str | None, name: str) -> Object | None:
        """The object, or None where there is none."""

    def pages(
        self, type_: ResourceType, namespace: str | None, *, labels: str = "", fields: str = "", whole: bool = True
    ) -> AsyncIterator[Listing]:
        """All objects that the selectors let through, some at a time; namespace None for all namespaces.

        Without `whole` only their metadata.
        """

    async def apply(self, manifest: Object, *, force: bool = True) -> Applied:
        """Server-side apply of the fields in `manifest`, taking over those that others wrote.

        Without `force` it fails (409) where another's field has another value. The object keeps its managedFields.
        """

    async def apply_status(self, manifest: Object) -> Object:
        """Server-side apply of the whole status subresource; the object after it."""

    async def delete(self, type_: ResourceType, namespace: str, name: str, uid: str) -> None:
        """Deletes that very object, in the background; nothing if it is gone or is another by now."""

    async def emit(self, event: Object) -> None:
        """Writes an event (events.k8s.io/v1)."""

    async def served_versions(self, group: str) -> Sequence[str]:
        """Versions of an API group that the server knows; empty if it does not know the group."""
