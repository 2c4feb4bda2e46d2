"""What the README promises on a cluster, with real models."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e_agent import outcome
from e2e_cluster import run_program
from e2e_install import IN_SYSTEM, RELEASE, Installation
from e2e_manifests import EXAMPLES, ROOT
from e2e_openai import openai_client
from e2e_story import Story

BIN = Path(sys.executable).parent
README = ROOT / "README.md"
HEADING = "## On a cluster"
Note = Callable[[str, object], None]


def quickstart_commands() -> list[str]:
    """The commands of the README from `helm install` on."""
    section = README.read_text().split(f"{HEADING}\n", 1)[1]
    lines = [line.strip() for line in section.split("```")[1].splitlines()]
    [first] = [number for number, line in enumerate(lines) if line.startswith("helm install ")]
    return [line for line in lines[first:] if line]


def in_namespace(command: str, namespace: str) -> list[str]:
    """Words of a command of the README, with a namespace of the story's own and this interpreter's `milepost`."""
    words = shlex.split(command, comments=True)
    words[words.index("--namespace") + 1] = namespace
    return [word.replace(".venv/bin/", f"{BIN}/") for word in words]


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "CLI-1")
def test_quickstart(story: Story, installation: Installation, record_property: Note) -> None:
    """Quickstart, the README's own commands: from helm install to the end of a reviewed run of real models."""
    if not shutil.which("kubectl"):
        pytest.skip("the README's quickstart needs kubectl")
    install, *commands = quickstart_commands()
    assert set(shlex.split(install)) == {"helm", "install", RELEASE, "helm/milepost", *IN_SYSTEM, "--wait"}
    started = time.monotonic()
    for command in commands:
        words = in_namespace(command, story.namespace)
        told = run_program(words, folder=ROOT, KUBECONFIG=story.cluster.kubeconfig)
    seconds = time.monotonic() - started
    note = f"{installation.seconds + seconds:.1f} s from helm install to the end of the first run"
    record_property("note", f"{note} (of which {installation.seconds:.1f} s until the operator was ready)")
    assert "Completed after" in told, told
    [run] = story.agent("review-loop").runs()
    assert outcome(run) == "COMPLETED"
    assert {hop.service for hop in run.hops} <= {"smollm2", "docs"}


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "MOD-2")
def test_linear_example(story: Story) -> None:
    """The example `linear` calculates with its tool and explains with its model, which ordinary clients can use too."""
    story.apply_files(EXAMPLES / "linear")
    story.wait_ready(("ModelService", "smollm2"), ("ModelService", "toolbox"), ("AgentWorkflow", "linear"))
    agent = story.agent("linear")
    run = agent.wait_ended(agent.start_run("What is 17 * 23?").run_id)
    assert outcome(run) == "COMPLETED", agent.history(run.run_id)
    assert "391" in run.hops[0].output
    assert [hop.service for hop in run.hops] == ["toolbox", "smollm2"]
    with openai_client(story, "smollm2") as client:
        [model] = client.models.list().data
        answer = client.chat.completions.create(
            model=model.id, messages=[{"role": "user", "content": "Say hello."}], max_tokens=8
        )
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 8
