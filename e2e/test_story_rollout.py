"""Changes to what runs."""

from __future__ import annotations

import pytest

from e2e_agent import outcome
from e2e_cluster import ready_pods, restarts
from e2e_manifests import STEPS, linear, model, workflow
from e2e_story import Story
from e2e_waiting import eventually


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-1", "AGT-5")
def test_changed_prompt(story: Story) -> None:
    """A changed prompt rolls the agent's pod; the run in flight ends as it began, the next one follows the new."""
    story.scripted()
    story.apply(model(), workflow())
    story.wait_ready(("AgentWorkflow", "flow"))
    agent = story.agent()
    agent.wait_ready_services({"worker"})
    [old] = story.pods("flow")
    run = agent.start_run("Write a function. hold=coder/1/6")
    agent.wait_event(run.run_id, "StepStarted", step="code")
    steps = [{**step, "instructions": "Answer in one word."} for step in STEPS]
    story.patch("AgentWorkflow", "flow", {"spec": {"steps": steps}})
    eventually(
        "the agent's pod is another one",
        lambda: ready_pods(story.pods("flow")),
        lambda pods: len(pods) == 1 and pods[0]["metadata"]["uid"] != old["metadata"]["uid"],
        within=120,
        explain=lambda: story.cluster.pods_in_words(story.namespace),
    )
    ended = agent.wait_ended(run.run_id)
    assert (outcome(ended), len(ended.hops)) == ("COMPLETED", 5), agent.history(run.run_id)
    story.wait_ready(("AgentWorkflow", "flow"))
    agent.wait_ready_services({"worker"})
    following = agent.wait_ended(agent.start_run("Write another one.").run_id)
    assert outcome(following) == "COMPLETED"
    assert following.workflow_digest != ended.workflow_digest


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-1")
def test_changed_model(story: Story) -> None:
    """A changed model setting rolls the model's pod without losing the run in flight; the agent's pod stays."""
    story.apply(model(generation={"maxTokens": 256}), linear())
    story.wait_ready(("ModelService", "smollm2"), ("AgentWorkflow", "flow"))
    agent = story.agent()
    before = restarts(story.pods("flow"))
    [old] = story.pods("smollm2")
    run = agent.start_run("Write a long story about a lighthouse, with every detail.")
    agent.wait_event(run.run_id, "StepStarted")
    story.patch("ModelService", "smollm2", {"spec": {"systemPrompt": "You are brief."}})
    eventually(
        "the model's pod is another one",
        lambda: ready_pods(story.pods("smollm2")),
        lambda pods: pods and all(pod["metadata"]["uid"] != old["metadata"]["uid"] for pod in pods),
        within=120,
        explain=lambda: story.cluster.pods_in_words(story.namespace),
    )
    ended = agent.wait_ended(run.run_id)
    assert outcome(ended) == "COMPLETED", (ended.reason, agent.history(run.run_id))
    story.wait_ready(("ModelService", "smollm2"))
    assert restarts(story.pods("flow")) == before
