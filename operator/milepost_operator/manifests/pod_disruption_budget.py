"""How many pods of an AgentWorkflow a drain may take away at once."""

from milepost_operator.manifests.metadata import Owner
from milepost_operator.observation import Object


def pod_disruption_budget(owner: Owner) -> Object:
    """One pod at a time, and a broken one always: a run goes on after an eviction, a blocked drain does not."""
    spec = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": owner.selector},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return owner.child("policy/v1", "PodDisruptionBudget", owner.name, {"spec": spec})
