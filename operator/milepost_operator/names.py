"""Names, labels and annotations of everything that belongs to a resource: equal input, equal name."""

import hashlib
from collections.abc import Sequence
from typing import Literal

from milepost_crds import GROUP

Role = Literal["agent", "model", "rag", "tools"]
"""What a pod does; the value of the label `app.kubernetes.io/component`."""

FIELD_MANAGER = "milepost-operator"
PART_OF = "milepost"

LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_PART_OF = "app.kubernetes.io/part-of"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_REGISTRY = f"{GROUP}/registry"
LABEL_DOWNLOADS = f"{GROUP}/downloads"
LABEL_REMOTE_MODEL = f"{GROUP}/remote-model"
CAPABILITY_LABEL_PREFIX = f"capability.{GROUP}/"

ANNOTATION_CAPABILITIES = f"{GROUP}/capabilities"
ANNOTATION_DESCRIPTION = f"{GROUP}/description"
ANNOTATION_EXAMPLES = f"{GROUP}/examples"
ANNOTATION_APPLIED_HASH = f"{GROUP}/applied-hash"
ANNOTATION_CONFIG_HASH = f"{GROUP}/config-hash"
ANNOTATION_MODEL_HASH = f"{GROUP}/model-hash"
ANNOTATION_PAUSED = f"{GROUP}/paused"

CONTAINER = "milepost"
DATA_VOLUME = "data"
AGENT_PORT = 50051
SERVICE_PORT = 50052
HTTP_PORT = 8000
"""Where a model answers OpenAI's API."""
METRICS_PORT = 9464

NAME_LIMIT = 63
"""Longest DNS label; names of Services, and label values, may not be longer."""
STATEFUL_SET_LIMIT = 52
"""Kubernetes appends a hash of 10 characters to it in a label of the pods."""

_HASH_LENGTH = 8


def child_name(owner: str, suffix: str = "", *, limit: int = NAME_LIMIT) -> str:
    """`OWNER-SUFFIX`, or `OWNER` alone; where that is too long, cut and marked with a hash of the whole.

    The result is a DNS label of at most `limit` characters; owners that differ only in what is cut get different
    hashes. Give a smaller limit where Kubernetes appends to the name (52 for a StatefulSet).
    """
    full = f"{owner}-{suffix}" if suffix else owner
    if len(full) <= limit:
        return full
    digest = hashlib.sha256(full.encode()).hexdigest()[:_HASH_LENGTH]
    ending = f"-{digest}-{suffix}" if suffix else f"-{digest}"
    if len(ending) >= limit:
        raise ValueError(f"suffix {suffix!r} leaves no room for a name of {limit} characters")
    return owner[: limit - len(ending)].rstrip("-.") + ending


def selector_labels(name: str, component: str) -> dict[str, str]:
    """Labels that select the pods of one resource; never changed after creation."""
    return {LABEL_NAME: PART_OF, LABEL_INSTANCE: name, LABEL_COMPONENT: component}


def object_labels(name: str, component: str) -> dict[str, str]:
    """Labels of every child of one resource."""
    return selector_labels(name, component) | {LABEL_PART_OF: PART_OF, LABEL_MANAGED_BY: FIELD_MANAGER}


def capability_labels(capabilities: Sequence[str]) -> dict[str, str]:
    """Labels by which services of a capability are selected."""
    return {f"{CAPABILITY_LABEL_PREFIX}{tag}": "true" for tag in sorted(capabilities)}


def stateful_set_name(workflow: str) -> str:
    """Name of the StatefulSet of a workflow."""
    return child_name(workflow, limit=STATEFUL_SET_LIMIT)


def headless_name(workflow: str) -> str:
    """Name of the Service that gives each pod of a workflow its own DNS name."""
    return child_name(workflow, "pods")


def claim_name(workflow: str, ordinal: int) -> str:
    """Name that the StatefulSet gives to the PersistentVolumeClaim of one replica."""
    return f"{DATA_VOLUME}-{stateful_set_name(workflow)}-{ordinal}"


def cache_claim_name(service: str) -> str:
    """Name of the PersistentVolumeClaim that keeps the downloads of a service."""
    return child_name(service, "cache")


def configuration_name(name: str, role: Role) -> str:
    """Name of the ConfigMap that holds what the process reads at its start."""
    return child_name(name, "workflow" if role == "agent" else "service")


def target(name: str, namespace: str, role: Role) -> str:
    """gRPC target inside the cluster, whatever the cluster's domain is."""
    return f"{name}.{namespace}.svc:{AGENT_PORT if role == 'agent' else SERVICE_PORT}"
