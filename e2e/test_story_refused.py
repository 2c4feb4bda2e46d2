"""What the API server does not take."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from e2e_manifests import STEPS, linear, model, workflow
from e2e_story import Story

FOUR = [{"name": f"step-{number}", "role": "writer"} for number in range(4)]
SIX = [{"name": f"step-{number}", "role": "writer"} for number in range(6)]
REFUSED: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (linear(steps=FOUR), ("spec", "3 steps")),
    (workflow(steps=SIX), ("spec.steps", "5")),
    (workflow(maxHops=6), ("spec.maxHops", "5")),
    (workflow(cycle={"from": "review", "to": "code", "maxCycles": 3}), ("spec.cycle.maxCycles", "2")),
    (workflow(cycle=None), ("spec", "cycle")),
    (workflow(cycle={"from": "review", "to": "nowhere"}), ("spec", "cycle", "step")),
    (workflow(steps=[STEPS[0], STEPS[0]], cycle=None, pattern="linear"), ("spec.steps", "Duplicate")),
    (workflow(arbitrator=None), ("spec.arbitrator", "Required")),
    (model(llamaCpp=None), ("spec", "exactly one")),
    (model(capabilities=["Not A Tag"]), ("spec.capabilities",)),
    (model(capabilities=[f"tag-{number}" for number in range(17)]), ("spec.capabilities", "16")),
    (model(replicas=2, autoscaling={"minReplicas": 1, "maxReplicas": 2}), ("spec", "replicas", "autoscaling")),
    (model(generation={"temperature": 3}), ("spec.generation.temperature", "2")),
]


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "CRD-4")
def test_invalid_resources(story: Story, record_property: Callable[[str, object], None]) -> None:
    """Invalid resources are refused by the API server, with a message that names the field and what is allowed."""
    for manifest, words in REFUSED:
        named = copy.deepcopy(manifest)
        with pytest.raises(ApiException) as refused:
            story.cluster.create(named, story.namespace)
        told = json.loads(refused.value.body)["message"]
        assert refused.value.status == 422, told
        assert all(word in told for word in words), (words, told)
    record_property("note", f"{len(REFUSED)} resources; the last one: {told}")
