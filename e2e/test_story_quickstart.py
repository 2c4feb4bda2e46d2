"""What the README promises on a cluster, with real models."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e_agent import outcome
from e2e_cluster import run_program
from e2e_install import Installation
from e2e_manifests import EXAMPLES
from e2e_story import Story

MILEPOST = Path(sys.executable).with_name("milepost")
Note = Callable[[str, object], None]


def milepost(story: Story, *arguments: str) -> str:
    """Output of the command line against the story's namespace."""
    command = [str(MILEPOST), *arguments, "--namespace", story.namespace]
    return run_program(command, KUBECONFIG=story.cluster.kubeconfig)


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "CLI-1")
def test_quickstart(story: Story, installation: Installation, record_property: Note) -> None:
    """Quickstart: helm install, apply examples/review-loop, and `milepost run` ends a reviewed run of real models."""
    started = time.monotonic()
    story.apply_files(EXAMPLES / "review-loop")
    names = [("ModelService", name) for name in ("smollm2", "docs", "toolbox")]
    story.wait_ready(*names, ("AgentWorkflow", "review-loop"))
    ready = time.monotonic() - started
    told = milepost(story, "run", "review-loop", "Write a Python function that reverses a string.", "--follow")
    whole = installation.seconds + time.monotonic() - started
    note = f"{whole:.1f} s from helm install to the end of the first run"
    record_property("note", f"{note} (install {installation.seconds:.1f} s, resources ready {ready:.1f} s later)")
    assert "Completed after" in told, told
    [run] = story.agent("review-loop").runs()
    assert outcome(run) == "COMPLETED"
    assert {hop.service for hop in run.hops} <= {"smollm2", "docs"}
    assert run.run_id in milepost(story, "get", "runs")


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3")
def test_linear_example(story: Story) -> None:
    """The example `linear` calculates with its tool and explains with its model."""
    story.apply_files(EXAMPLES / "linear")
    story.wait_ready(("ModelService", "smollm2"), ("ModelService", "toolbox"), ("AgentWorkflow", "linear"))
    agent = story.agent("linear")
    run = agent.wait_ended(agent.start_run("What is 17 * 23?").run_id)
    assert outcome(run) == "COMPLETED", agent.history(run.run_id)
    assert "391" in run.hops[0].output
    assert [hop.service for hop in run.hops] == ["toolbox", "smollm2"]
