"""A model pod that needs more memory than it may have."""

from __future__ import annotations

import pytest

from e2e_agent import outcome
from e2e_chaos import Chaos
from e2e_cluster import ready_pods, restarts
from e2e_manifests import linear, model
from e2e_story import Story
from e2e_waiting import eventually

MODEL = "app.kubernetes.io/component=model"


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "DUR-3")
def test_model_over_its_memory_limit(story: Story, chaos: Chaos) -> None:
    """A model pod driven over its memory limit: only it restarts, and the run goes on and completes."""
    story.apply(model(generation={"maxTokens": 512}), linear())
    story.wait_ready(("ModelService", "smollm2"), ("AgentWorkflow", "flow"))
    agent = story.agent()
    [pod] = ready_pods(story.cluster.pods(story.namespace, MODEL))
    before = restarts(story.pods())
    run = agent.start_run("Write a long story about a lighthouse, with every detail.")
    agent.wait_event(run.run_id, "StepStarted")
    chaos.exhaust_memory(story.namespace, pod["metadata"]["name"])
    [killed] = eventually(
        "the kernel has killed the model and it is up again",
        lambda: ready_pods(story.cluster.pods(story.namespace, MODEL)),
        lambda pods: pods and pods[0]["status"]["containerStatuses"][0]["restartCount"] == 1,
        within=90,
        explain=lambda: story.cluster.pods_in_words(story.namespace),
    )
    assert killed["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "OOMKilled"
    ended = agent.wait_ended(run.run_id)
    assert outcome(ended) == "COMPLETED", (ended.reason, agent.history(run.run_id))
    assert ended.recoveries == 0
    after = restarts(story.pods())
    changed = {name for name, count in after.items() if count != before.get(name)}
    assert changed == {f"{pod['metadata']['name']}/{pod['metadata']['uid']}"}, (before, after)
