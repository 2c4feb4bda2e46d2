"""What an agent may do in the API server."""

from milepost_operator.manifests.metadata import Owner
from milepost_operator.observation import Object

RULES = ({"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]},)
"""Services of its own namespace, and nothing else: they are its registry."""


def role(owner: Owner) -> Object:
    """The Role of an agent."""
    return owner.child("rbac.authorization.k8s.io/v1", "Role", owner.name, {"rules": [dict(rule) for rule in RULES]})
