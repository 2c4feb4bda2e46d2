"""Names, labels and annotations of everything that belongs to a resource: equal input, equal name."""

import hashlib
from collections.abc import Sequence

from milepost_crds import GROUP

FIELD_MANAGER = "milepost-operator"
PART_OF = "milepost"

LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_PART_OF = "app.kubernetes.io/part-of"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
CAPABILITY_LABEL_PREFIX = f"capability.{GROUP}/"

ANNOTATION_CAPABILITIES = f"{GROUP}/capabilities"
ANNOTATION_DESCRIPTION = f"{GROUP}/description"
ANNOTATION_EXAMPLES = f"{GROUP}/examples"
ANNOTATION_APPLIED_HASH = f"{GROUP}/applied-hash"
ANNOTATION_CONFIG_HASH = f"{GROUP}/config-hash"

NAME_LIMIT = 63
"""Longest DNS label; names of Services, and label values, may not be longer."""

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
