"""The account that the pods of one resource run as."""

from milepost_operator.manifests.metadata import Owner
from milepost_operator.observation import Object


def service_account(owner: Owner) -> Object:
    """An account of the resource's own; its token is mounted only where a pod asks for it."""
    return owner.child("v1", "ServiceAccount", owner.name, {"automountServiceAccountToken": False})
