"""Runs the pods of an AgentWorkflow, each on a volume of its own."""

from typing import Any, Literal

from milepost_operator.manifests.metadata import Owner
from milepost_operator.manifests.volume_claim import ClaimTemplate
from milepost_operator.names import headless_name, stateful_set_name
from milepost_operator.observation import Object


def stateful_set(
    owner: Owner,
    *,
    replicas: int,
    template: Object,
    claim: ClaimTemplate,
    reclaim_policy: Literal["Retain", "Delete"],
) -> Object:
    """The StatefulSet; what `claim` says cannot be changed once it exists."""
    spec: dict[str, Any] = {
        "replicas": replicas,
        "serviceName": headless_name(owner.name),
        "selector": {"matchLabels": owner.selector},
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": reclaim_policy, "whenScaled": "Retain"},
        "revisionHistoryLimit": 2,
        "template": template,
        "volumeClaimTemplates": [claim.as_template(owner.selector)],
    }
    return owner.child("apps/v1", "StatefulSet", stateful_set_name(owner.name), {"spec": spec})
