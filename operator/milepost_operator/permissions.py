"""What the operator asks of the API server: the whole of it, so that a role can grant exactly this."""

from dataclasses import dataclass
from typing import Literal

from milepost_crds import GROUP

Scope = Literal["watched", "cluster", "own"]


@dataclass(frozen=True)
class Rule:
    """Verbs on one resource of one API group ("" is the core group).

    `scope` is where they are needed: "watched" in each namespace that is served (cluster-wide by default), "cluster"
    for what has no namespace (missing permission is tolerated), "own" in the operator's own namespace.
    """

    api_group: str
    resource: str
    verbs: tuple[str, ...]
    scope: Scope = "watched"


_CHILD = ("create", "delete", "list", "patch", "watch")
_REFERRED_CHILD = ("create", "delete", "get", "list", "patch", "watch")

RULES: tuple[Rule, ...] = (
    Rule(GROUP, "agentworkflows", ("list", "watch")),
    Rule(GROUP, "modelservices", ("list", "watch")),
    Rule(GROUP, "agentworkflows/status", ("patch",)),
    Rule(GROUP, "modelservices/status", ("patch",)),
    # Asked for by OwnerReferencesPermissionEnforcement, since children block the deletion of their owner.
    Rule(GROUP, "agentworkflows/finalizers", ("update",)),
    Rule(GROUP, "modelservices/finalizers", ("update",)),
    Rule("", "configmaps", _REFERRED_CHILD),
    Rule("", "persistentvolumeclaims", _REFERRED_CHILD),
    Rule("", "serviceaccounts", _CHILD),
    # An agent's Role grants get, list and watch on services, and nobody may grant what they do not hold.
    Rule("", "services", _REFERRED_CHILD),
    Rule("", "secrets", ("get",)),
    Rule("", "pods", ("list", "watch")),
    Rule("", "pods", ("list",), scope="own"),
    Rule("", "events", ("list",)),
    Rule("events.k8s.io", "events", ("create",)),
    Rule("apps", "deployments", _CHILD),
    Rule("apps", "statefulsets", _CHILD),
    Rule("policy", "poddisruptionbudgets", _CHILD),
    Rule("rbac.authorization.k8s.io", "roles", _CHILD),
    Rule("rbac.authorization.k8s.io", "rolebindings", _CHILD),
    Rule("storage.k8s.io", "storageclasses", ("get",), scope="cluster"),
)
"""Everything, in the order in which the chart writes it. Discovery (`/api`, `/apis`) is open to every account."""
