"""Somebody's hands on what the operator made."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from e2e_cluster import Object
from e2e_manifests import linear, model
from e2e_story import Story
from e2e_waiting import eventually

REPAIR_SECONDS = 5.0
Patch = Mapping[str, Any]
WORKFLOW_CHILDREN: Mapping[tuple[str, str], Patch] = {
    ("ServiceAccount", "flow"): {"metadata": {"labels": {"app.kubernetes.io/component": "edited"}}},
    ("Role", "flow"): {"rules": []},
    ("RoleBinding", "flow"): {"subjects": []},
    ("ConfigMap", "flow-workflow"): {"data": {"workflow.yaml": "edited"}},
    ("Service", "flow-pods"): {"spec": {"publishNotReadyAddresses": False}},
    ("Service", "flow"): {"spec": {"selector": {"app.kubernetes.io/instance": "edited"}}},
    ("PodDisruptionBudget", "flow"): {"metadata": {"labels": {"app.kubernetes.io/instance": "edited"}}},
    ("StatefulSet", "flow"): {"spec": {"replicas": 0}},
}
SERVICE_CHILDREN: Mapping[tuple[str, str], Patch] = {
    ("ServiceAccount", "smollm2"): {"metadata": {"labels": {"app.kubernetes.io/component": "edited"}}},
    ("ConfigMap", "smollm2-service"): {"data": {"service.yaml": "edited"}},
    ("Service", "smollm2"): {"spec": {"selector": {"app.kubernetes.io/instance": "edited"}}},
    ("Deployment", "smollm2"): {"spec": {"replicas": 0}},
}
# One that downloads has a volume for that; nothing needs to run for it here.
DOWNLOAD = {"source": {"url": "https://models.example/m.gguf", "sha256": "0" * 64}}
DOWNLOAD_CHILDREN: Mapping[tuple[str, str], Patch] = {
    ("PersistentVolumeClaim", "download-cache"): {"metadata": {"labels": {"app.kubernetes.io/component": "edited"}}},
}
CHILDREN = {**WORKFLOW_CHILDREN, **SERVICE_CHILDREN, **DOWNLOAD_CHILDREN}


@pytest.fixture(scope="module")
def repaired(make_story: Callable[[str], Story]) -> Story:
    story = make_story("drift")
    story.apply(model(), linear(), model("download", llamaCpp=DOWNLOAD, replicas=0))
    story.wait_ready(("ModelService", "smollm2"), ("AgentWorkflow", "flow"))
    eventually("every child is there", lambda: [story.get(*child) for child in CHILDREN], within=30)
    return story


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-1")
def test_children_edited(repaired: Story, record_property: Callable[[str, object], None]) -> None:
    """A child edited by hand, one of every kind, is as it was within 5 seconds."""
    slowest = 0.0
    for (kind, name), patch in CHILDREN.items():
        before = repaired.get(kind, name)
        repaired.patch(kind, name, patch)
        started = time.monotonic()
        wanted = picked(before, patch)
        eventually(
            f"{kind} {name} is as it was",
            lambda kind=kind, name=name, patch=patch: picked(repaired.get(kind, name), patch),
            lambda seen, wanted=wanted: seen == wanted,
            within=REPAIR_SECONDS,
        )
        slowest = max(slowest, time.monotonic() - started)
    record_property("note", f"{len(CHILDREN)} children, the slowest repaired after {slowest:.1f} s")


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-1")
def test_children_deleted(repaired: Story, record_property: Callable[[str, object], None]) -> None:
    """A child deleted by hand, one of every kind, is there again within 5 seconds, and everything is ready again."""
    slowest = 0.0
    for kind, name in CHILDREN:
        before = repaired.get(kind, name)
        repaired.delete(kind, name)
        started = time.monotonic()
        eventually(
            f"{kind} {name} is there again",
            lambda kind=kind, name=name: repaired.get(kind, name),
            lambda seen, before=before: another(seen, before),
            within=REPAIR_SECONDS,
        )
        slowest = max(slowest, time.monotonic() - started)
    record_property("note", f"{len(CHILDREN)} children, the slowest made again after {slowest:.1f} s")
    repaired.wait_ready(("ModelService", "smollm2"), ("AgentWorkflow", "flow"))


def another(seen: Object, before: Object) -> bool:
    metadata = seen["metadata"]
    return metadata["uid"] != before["metadata"]["uid"] and "deletionTimestamp" not in metadata


def picked(found: Any, patch: Any) -> Any:
    """The part of an object that a patch names."""
    if isinstance(patch, Mapping) and isinstance(found, Mapping):
        return {key: picked(found.get(key), value) for key, value in patch.items()}
    return found
