"""What of an object is worth keeping in memory."""

from collections.abc import Iterable, Mapping
from typing import Any

from milepost_operator.cluster import POD, ResourceType
from milepost_operator.observation import Object

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_POD_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "labels")
_POD_STATUS = ("podIP", "phase", "reason", "message", "conditions", "containerStatuses", "initContainerStatuses")


def trimmed(type_: ResourceType, found: Object) -> dict[str, Any]:
    """A copy without managedFields; of a pod only what tells its state."""
    if type_ is POD:
        return _trimmed_pod(found)
    metadata = {key: value for key, value in found["metadata"].items() if key not in {"managedFields", "selfLink"}}
    annotations = metadata.get("annotations")
    if annotations and _LAST_APPLIED in annotations:
        metadata["annotations"] = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
    return {**found, "apiVersion": type_.api_version, "kind": type_.kind, "metadata": metadata}


def _trimmed_pod(found: Object) -> dict[str, Any]:
    spec, status = found.get("spec", {}), found.get("status", {})
    return {
        "apiVersion": POD.api_version,
        "kind": POD.kind,
        "metadata": _only(found["metadata"], (*_POD_METADATA, "ownerReferences")),
        "spec": _only(spec, ("nodeName",)),
        "status": _only(status, _POD_STATUS),
    }


def _only(mapping: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: mapping[name] for name in names if name in mapping}
