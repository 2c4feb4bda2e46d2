"""Gives an agent its Role."""

from milepost_operator.manifests.metadata import Owner
from milepost_operator.observation import Object

_GROUP = "rbac.authorization.k8s.io"


def role_binding(owner: Owner) -> Object:
    """The RoleBinding of an agent's ServiceAccount."""
    subject = {"kind": "ServiceAccount", "name": owner.name, "namespace": owner.namespace}
    body = {"roleRef": {"apiGroup": _GROUP, "kind": "Role", "name": owner.name}, "subjects": [subject]}
    return owner.child(f"{_GROUP}/v1", "RoleBinding", owner.name, body)
