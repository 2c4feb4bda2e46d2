"""The operator dies; what runs does not notice, and what it had begun is finished."""

from __future__ import annotations

import pytest

from e2e_agent import outcome
from e2e_chaos import Chaos
from e2e_cluster import Object, restarts
from e2e_install import NAMESPACE, Installation
from e2e_manifests import model, toolbox, workflow
from e2e_story import Story
from e2e_waiting import eventually


def rolling(deployment: Object) -> bool:
    """Whether there are pods of more than one template, or not yet those that are wanted."""
    status = deployment.get("status") or {}
    seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
    mixed = status.get("updatedReplicas") != status.get("replicas")
    return not seen or mixed or bool(status.get("unavailableReplicas"))


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-7")
def test_operator_killed(story: Story, installation: Installation, chaos: Chaos) -> None:
    """The operator killed amid a rollout and a run: its successor ends the one, the other notices nothing."""
    story.scripted()
    story.apply(model(), toolbox(), workflow())
    story.wait_ready(("AgentWorkflow", "flow"), ("ModelService", "toolbox"))
    agent = story.agent()
    agent.wait_ready_services({"worker"})
    before = restarts(story.pods("flow"))
    run = agent.start_run("Write a function. hold=coder/1/20")
    agent.wait_event(run.run_id, "StepStarted", step="code")

    operator = installation.wait_operator()
    generation = story.get("Deployment", "toolbox")["metadata"]["generation"]
    story.patch("ModelService", "toolbox", {"spec": {"generation": {"maxTokens": 48}}})
    eventually(
        "the rollout has begun",
        lambda: story.get("Deployment", "toolbox"),
        lambda seen: seen["metadata"]["generation"] > generation and rolling(seen),
        within=30,
    )
    chaos.sigkill(operator)
    again = installation.wait_operator(other_than=operator)
    story.cluster.delete("Pod", again["metadata"]["name"], NAMESPACE, grace=0)
    story.patch("ModelService", "toolbox", {"spec": {"description": "Changed while nobody looked."}})
    installation.wait_operator(other_than=again)

    story.wait_ready(("ModelService", "toolbox"))
    annotations = story.get("Service", "toolbox")["metadata"]["annotations"]
    assert annotations["milepost.dev/description"] == "Changed while nobody looked."
    ended = agent.wait_ended(run.run_id)
    assert (outcome(ended), ended.recoveries) == ("COMPLETED", 0), agent.history(run.run_id)
    assert restarts(story.pods("flow")) == before
