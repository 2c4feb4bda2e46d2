"""Runs the pods of a ModelService."""

from collections.abc import Mapping
from typing import Any

from milepost_operator.manifests.metadata import Owner
from milepost_operator.observation import Object

PROGRESS_DEADLINE_SECONDS = 600
DOWNLOAD_DEADLINE_SECONDS = 7200
"""A pod that fetches its model first may take so long before it is called late."""


def deployment(
    owner: Owner, *, replicas: int, template: Object, annotations: Mapping[str, str], downloads: bool = False
) -> Object:
    """The Deployment; an old pod goes only when a new one is ready, so that a rollout interrupts nobody."""
    spec: dict[str, Any] = {
        "replicas": replicas,
        "selector": {"matchLabels": owner.selector},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "progressDeadlineSeconds": DOWNLOAD_DEADLINE_SECONDS if downloads else PROGRESS_DEADLINE_SECONDS,
        "revisionHistoryLimit": 2,
        "template": template,
    }
    return owner.child("apps/v1", "Deployment", owner.name, {"spec": spec}, annotations=annotations)
