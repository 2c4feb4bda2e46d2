"""Failures that a person can mend: each is a condition with a remedy, and heals when it is mended."""

from __future__ import annotations

import pytest

from e2e_install import Installation
from e2e_manifests import Manifest, linear, model, toolbox
from e2e_story import Story


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-5")
def test_image_missing(story: Story, installation: Installation) -> None:
    """An image that cannot be had is named in a condition; with the right one everything gets ready by itself."""
    story.apply(model())
    story.wait_ready(("ModelService", "smollm2"))
    installation.install({"images.tools.tag": "no-such-tag", "images.pullPolicy": "Never"})
    try:
        story.apply(toolbox())
        story.condition("ModelService", "toolbox", "Degraded", "True", message="no-such-tag", within=90)
        story.condition("ModelService", "toolbox", "Ready", "False", within=30)
    finally:
        installation.install()
    story.wait_ready(("ModelService", "toolbox"))
    story.condition("ModelService", "toolbox", "Degraded", "False", within=30)


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-5")
def test_quota_exceeded(story: Story) -> None:
    """A quota that leaves no room is named in a condition; a larger one heals it."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "0"}},
    }
    story.apply(quota)
    story.apply(model())
    story.condition("ModelService", "smollm2", "Degraded", "True", message="quota", within=60)
    story.patch("ResourceQuota", "small", {"spec": {"hard": {"pods": "9"}}})
    story.wait_ready(("ModelService", "smollm2"))
    story.condition("ModelService", "smollm2", "Degraded", "False", within=30)


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-5")
def test_volume_does_not_bind(story: Story) -> None:
    """A missing storage class, then a volume that nobody provisions, are named in conditions; mended, both heal."""
    name = story.namespace
    [default, *_] = [each for each in story.cluster.objects("StorageClass") if _is_default(each)]
    story.apply(model(), linear(checkpoint={"storage": {"size": "64Mi", "className": name}}))
    story.condition("AgentWorkflow", "flow", "Ready", "False", reason="StorageClassNotFound", message=name, within=30)
    try:
        story.cluster.apply(storage_class(name, "milepost.dev/nobody", default["volumeBindingMode"]))
        story.condition("AgentWorkflow", "flow", "CheckpointStoreReady", "False", message="data-flow-0", within=90)
        story.condition("AgentWorkflow", "flow", "Ready", "False", within=30)
        story.cluster.delete_and_wait("StorageClass", name)
        story.cluster.apply(storage_class(name, default["provisioner"], default["volumeBindingMode"]))
        story.wait_ready(("AgentWorkflow", "flow"))
        story.condition("AgentWorkflow", "flow", "CheckpointStoreReady", "True", within=30)
    finally:
        story.cluster.delete("StorageClass", name)


def storage_class(name: str, provisioner: str, binding: str) -> Manifest:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": binding,
    }


def _is_default(storage_class: dict[str, dict[str, dict[str, str]]]) -> bool:
    annotations = storage_class["metadata"].get("annotations") or {}
    return annotations.get("storageclass.kubernetes.io/is-default-class") == "true"
