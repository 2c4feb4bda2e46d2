"""What the Service of a ModelService says of it, so that agents find it: the registry of a cluster."""

import json
from collections.abc import Mapping

from milepost_crds import ModelService
from milepost_operator.names import (
    ANNOTATION_CAPABILITIES,
    ANNOTATION_DESCRIPTION,
    ANNOTATION_EXAMPLES,
    LABEL_REGISTRY,
    capability_labels,
)


def registry_labels(service: ModelService, *, ready: bool) -> dict[str, str]:
    """Labels by which agents select services: only those of a ready one."""
    return {LABEL_REGISTRY: "true"} | capability_labels(service.spec.capabilities) if ready else {}


def registry_annotations(service: ModelService) -> Mapping[str, str]:
    """What a router wants to know of the service."""
    spec = service.spec
    return {
        ANNOTATION_CAPABILITIES: json.dumps(spec.capabilities),
        ANNOTATION_DESCRIPTION: spec.description,
        ANNOTATION_EXAMPLES: json.dumps(spec.examples, ensure_ascii=False),
    }
