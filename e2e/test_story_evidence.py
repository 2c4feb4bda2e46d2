"""What a failing story leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e_agent import outcome
from e2e_chaos import Chaos
from e2e_cluster import ready_pods
from e2e_evidence import collect, namespaces_of_interest
from e2e_install import NAMESPACE
from e2e_manifests import linear, model
from e2e_story import Story
from e2e_waiting import eventually


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "PKG-4")
def test_evidence(story: Story, chaos: Chaos, tmp_path: Path) -> None:
    """A failing story leaves all logs, those before a restart too, events, resources and the journal of each run."""
    story.apply(model(), linear())
    story.wait_ready(("ModelService", "smollm2"), ("AgentWorkflow", "flow"))
    agent = story.agent()
    run = agent.wait_ended(agent.start_run("Say hello.").run_id)
    assert outcome(run) == "COMPLETED"
    chaos.sigkill(story.get("Pod", "flow-0"))
    eventually(
        "the agent is up again, and the kubelet tells of its first container",
        lambda: ready_pods(story.pods("flow")),
        lambda pods: pods and "terminated" in pods[0]["status"]["containerStatuses"][0].get("lastState", {}),
        within=60,
    )
    collect(story.cluster, namespaces_of_interest(story.cluster, [story.namespace]), tmp_path)
    assert not list(tmp_path.rglob(f"{story.namespace}/*.error"))
    here = tmp_path / story.namespace
    assert "1 runs resumed" not in (here / "flow-0.milepost.log").read_text()
    assert run.correlation_id in (here / "flow-0.milepost.previous.log").read_text()
    assert "StatefulSet/flow" in (here / "events.txt").read_text()
    assert run.run_id in (here / f"run-{run.run_id}.json").read_text()
    assert json.loads((here / f"run-{run.run_id}.json").read_text())["outcome"] == "Completed"
    for kind in ("agentworkflows", "modelservices", "pods", "statefulsets", "persistentvolumeclaims"):
        assert (here / f"{kind}.yaml").read_text()
    assert list((tmp_path / NAMESPACE).glob("milepost-*.operator.log"))
