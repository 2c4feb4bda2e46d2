"""What becomes of a workflow's volume."""

from __future__ import annotations

import pytest

from e2e_agent import outcome
from e2e_manifests import linear, model
from e2e_story import Story
from e2e_waiting import eventually, stays

CLAIM = "data-flow-0"


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-8")
def test_workflow_made_again(story: Story) -> None:
    """A workflow made again finds its volume and its runs; with reclaimPolicy Delete the volume goes with it."""
    story.apply(model(), linear())
    story.wait_ready(("ModelService", "smollm2"), ("AgentWorkflow", "flow"))
    agent = story.agent()
    run = agent.wait_ended(agent.start_run("Say hello.").run_id)
    assert outcome(run) == "COMPLETED"
    claim = story.get("PersistentVolumeClaim", CLAIM)["metadata"]["uid"]

    story.cluster.delete_and_wait("AgentWorkflow", "flow", story.namespace)
    eventually("its pod is gone", lambda: story.pods("flow"), lambda pods: not pods, within=90)
    assert story.cluster.find("StatefulSet", "flow", story.namespace) is None
    assert stays("its claim", lambda: story.get("PersistentVolumeClaim", CLAIM)["metadata"]["uid"], seconds=3) == claim
    assert "deletionTimestamp" not in story.get("PersistentVolumeClaim", CLAIM)["metadata"]

    story.apply(linear(checkpoint={"storage": {"size": "64Mi"}, "reclaimPolicy": "Delete"}))
    story.wait_ready(("AgentWorkflow", "flow"))
    assert story.get("PersistentVolumeClaim", CLAIM)["metadata"]["uid"] == claim
    again = agent.get(run.run_id)
    assert (outcome(again), again.result) == (outcome(run), run.result)
    assert [each.run_id for each in agent.runs()] == [run.run_id]

    story.cluster.delete_and_wait("AgentWorkflow", "flow", story.namespace)
    eventually(
        "its claim is gone",
        lambda: story.cluster.find("PersistentVolumeClaim", CLAIM, story.namespace),
        lambda seen: seen is None,
        within=120,
        explain=lambda: story.cluster.pods_in_words(story.namespace),
    )
