"""Every kind that a resource may own."""

from typing import NamedTuple


class ChildKind(NamedTuple):
    """A kind of the Kubernetes API and the plural under which its objects are found."""

    api_version: str
    kind: str
    plural: str


CHILD_KINDS: tuple[ChildKind, ...] = (
    ChildKind("v1", "ServiceAccount", "serviceaccounts"),
    ChildKind("rbac.authorization.k8s.io/v1", "Role", "roles"),
    ChildKind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    ChildKind("v1", "ConfigMap", "configmaps"),
    ChildKind("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ChildKind("v1", "Service", "services"),
    ChildKind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ChildKind("apps/v1", "Deployment", "deployments"),
    ChildKind("apps/v1", "StatefulSet", "statefulsets"),
)
"""In the order in which they are applied: what pods need comes before what starts them."""
