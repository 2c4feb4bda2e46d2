"""The resolved resource as files that its pods read at their start."""

from collections.abc import Mapping

from milepost_operator.manifests.metadata import Owner
from milepost_operator.names import configuration_name
from milepost_operator.observation import Object


def config_map(owner: Owner, files: Mapping[str, str]) -> Object:
    """The ConfigMap with one key for each file."""
    return owner.child("v1", "ConfigMap", configuration_name(owner.name, owner.role), {"data": dict(files)})
