"""The release comes, changes and goes; what it runs does not notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e_agent import assert_nothing_repeated, outcome
from e2e_cluster import restarts
from e2e_gateway import NAME as GATEWAY
from e2e_install import DEFINITIONS, NAMESPACE, RELEASE, Installation
from e2e_manifests import model, workflow
from e2e_story import Story
from e2e_waiting import eventually, stays

OLDER = "0.0.9"


def ours(story: Story) -> set[str]:
    """Uids of the pods that the operator has made."""
    found = story.cluster.pods(story.namespace, "app.kubernetes.io/managed-by=milepost-operator")
    return {pod["metadata"]["uid"] for pod in found}


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-7")
def test_upgrade(story: Story, installation: Installation, tmp_path: Path) -> None:
    """Upgrade with a run in flight: agents keep running. (No older release exists: today's as 0.0.9, other CRDs.)"""
    older = installation.package(OLDER, tmp_path)
    installation.install({"operator.log.level": "DEBUG"}, older)
    assert installation.chart_version() == f"milepost-{OLDER}"
    story.scripted()
    story.apply(model(), workflow())
    story.wait_ready(("AgentWorkflow", "flow"))
    agent = story.agent()
    agent.wait_ready_services({"worker"})
    before = restarts(story.pods())
    token = story.cluster.get("Secret", GATEWAY, NAMESPACE)["data"]
    run = agent.start_run("Write a function. hold=coder/1/15")
    agent.wait_event(run.run_id, "StepStarted", step="code")
    installation.install()
    assert installation.chart_version() != f"milepost-{OLDER}"
    ended = agent.wait_ended(run.run_id)
    assert (outcome(ended), ended.recoveries) == ("COMPLETED", 0), agent.history(run.run_id)
    story.wait_ready(("AgentWorkflow", "flow"), ("ModelService", "smollm2"))
    assert restarts(story.pods()) == before
    assert story.cluster.get("Secret", GATEWAY, NAMESPACE)["data"] == token, "the gateway's token stays"


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-7", "DUR-3")
def test_upgrade_of_images(story: Story, installation: Installation, older_tag: str) -> None:
    """Upgrade to other images with a run in flight: every pod is replaced, the run goes on and repeats nothing."""
    installation.install({"images.tag": older_tag})
    story.scripted()
    story.apply(model(), workflow())
    story.wait_ready(("AgentWorkflow", "flow"), ("ModelService", "smollm2"))
    agent, worker = story.agent(), story.service()
    agent.wait_ready_services({"worker"})
    before = ours(story)
    run = agent.start_run("Write a function. hold=coder/1/12")
    agent.wait_event(run.run_id, "StepStarted", step="code")
    calls = worker.invocations(run.correlation_id)
    installation.install()
    ended = agent.wait_ended(run.run_id)
    assert (outcome(ended), len(ended.hops)) == ("COMPLETED", 5), agent.history(run.run_id)
    assert_nothing_repeated(calls, worker.invocations(run.correlation_id), str(agent.history(run.run_id)))
    story.wait_ready(("AgentWorkflow", "flow"), ("ModelService", "smollm2"))
    eventually(
        "every pod is another one",
        lambda: ours(story),
        lambda seen: len(seen) == len(before) and not seen & before,
        within=120,
        explain=lambda: story.cluster.pods_in_words(story.namespace),
    )


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "OPR-7", "OPR-8")
def test_uninstall_and_install_again(story: Story, installation: Installation) -> None:
    """Uninstall leaves definitions, resources, pods, volumes; installed again, it takes them over with no restart."""
    story.scripted()
    story.apply(model(), workflow())
    story.wait_ready(("AgentWorkflow", "flow"))
    agent = story.agent()
    agent.wait_ready_services({"worker"})
    before = restarts(story.pods())
    claim = story.get("PersistentVolumeClaim", "data-flow-0")["metadata"]["uid"]
    try:
        installation.uninstall()
        assert installation.chart_version() == ""
        for name in DEFINITIONS:
            assert "deletionTimestamp" not in story.cluster.get("CustomResourceDefinition", name)["metadata"]
        stays("the pods", lambda: restarts(story.pods()), seconds=5)
        assert story.get("PersistentVolumeClaim", "data-flow-0")["metadata"]["uid"] == claim
        run = agent.wait_ended(agent.start_run("Write a function.").run_id)
        assert outcome(run) == "COMPLETED", "a run needs no operator"
    finally:
        installation.install()
    story.patch("ModelService", "smollm2", {"spec": {"description": f"Seen by the second {RELEASE}."}})
    story.wait_ready(("AgentWorkflow", "flow"), ("ModelService", "smollm2"))
    assert restarts(story.pods("flow")) == {key: count for key, count in before.items() if key.startswith("flow-")}
