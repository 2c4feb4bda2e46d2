"""Names of things that are not there, are not ready, or are taken."""

from __future__ import annotations

import pytest

from e2e_manifests import linear, model, toolbox
from e2e_story import Story

HANDBOOK = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "handbook"},
    "data": {"errors.md": "# Errors\n\nA message is one line.\n"},
}


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-5")
def test_missing_references(story: Story) -> None:
    """What names a missing model, document or capability says so in a condition, and heals when they appear."""
    docs = toolbox("docs", ["rag"])
    docs["spec"].pop("tools")
    docs["spec"]["rag"] = {"documents": {"configMap": {"name": "handbook"}}, "modelRef": {"name": "smollm2"}}
    story.apply(docs, linear(capability="rag"))
    unresolved = ("DependenciesResolved", "False")
    story.condition("ModelService", "docs", *unresolved, message="handbook", within=30)
    story.condition("ModelService", "docs", *unresolved, message="smollm2", within=30)
    story.condition("AgentWorkflow", "flow", *unresolved, message="smollm2", within=30)
    story.condition("AgentWorkflow", "flow", "Ready", "False", within=30)
    story.apply(HANDBOOK)
    story.apply(model())
    story.wait_ready(("ModelService", "docs"), ("AgentWorkflow", "flow"))
    story.condition("AgentWorkflow", "flow", "DependenciesResolved", "True", within=30)


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-5")
def test_unready_reference(story: Story) -> None:
    """A model scaled to zero is named by those that need it, and they heal when it is back."""
    story.apply(model(replicas=0), toolbox())
    story.condition("ModelService", "toolbox", "Ready", "False", within=60)
    story.condition("ModelService", "toolbox", "DependenciesResolved", "False", message="smollm2", within=30)
    story.cluster.scale("ModelService", "smollm2", story.namespace, 1)
    story.wait_ready(("ModelService", "smollm2"), ("ModelService", "toolbox"))


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-5")
def test_conflicting_names(story: Story) -> None:
    """A workflow named like a service of its namespace says NameConflict, takes nothing, and heals when it is free."""
    story.apply(model())
    story.wait_ready(("ModelService", "smollm2"))
    account = story.get("ServiceAccount", "smollm2")["metadata"]["ownerReferences"]
    story.apply(linear("smollm2", model="smollm2"))
    story.condition("AgentWorkflow", "smollm2", "Ready", "False", reason="NameConflict", within=30)
    story.wait_ready(("ModelService", "smollm2"), within=10)
    assert story.get("ServiceAccount", "smollm2")["metadata"]["ownerReferences"] == account
    story.apply(model("other"))
    story.patch("AgentWorkflow", "smollm2", {"spec": {"arbitrator": {"modelRef": {"name": "other"}}}})
    story.delete("ModelService", "smollm2")
    story.wait_ready(("AgentWorkflow", "smollm2"))
