"""A tool inside a step writes to another role: real agent, real tools process."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from milepost.agent.v1 import agent_pb2
from milepost_service.testing import free_port
from processes import PATIENCE, AgentClient, Process, agent_process, list_calls, running, scripted_process

SPEC: dict[str, Any] = {
    "pattern": "linear",
    "steps": [
        {"name": "gather", "role": "clerk", "capability": "tools"},
        {"name": "code", "role": "coder", "capability": "coding"},
    ],
    "arbitrator": {"modelRef": {"name": "worker"}},
}
TOOLBOX = """\
apiVersion: milepost.dev/v1alpha1
kind: ModelService
metadata: {name: toolbox}
spec:
  capabilities: [tools]
  tools: {builtIn: [calculator, sendMessage], modelRef: {name: worker}}
"""
PROMPT = "Write a file reader.\ntell coder: use a context manager\nsend to poet: rhyme"


def toolbox(directory: Path, registry: str) -> Process:
    file = directory / "toolbox.yaml"
    file.write_text(TOOLBOX)
    settings = {
        "MILEPOST_SERVICE_FILE": str(file),
        "MILEPOST_REGISTRIES": registry,
        "MILEPOST_MODEL_TARGET": f"127.0.0.1:{free_port()}",
    }
    command = [sys.executable, "-c", "from milepost_tools.main import main; main()"]
    return Process("toolbox", command, directory / "toolbox.log", settings)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    """An agent that is not started, and the tools service of its first step."""
    agent = agent_process(tmp_path, SPEC)
    tools = toolbox(tmp_path, agent.target)
    try:
        with running(tools, scripted_process(tmp_path, "worker", "coding", agent.target)):
            yield agent, tools
    finally:
        agent.stop()


@pytest.mark.requirement("A2A-1", "TLS-1")
@pytest.mark.parametrize("failpoint", ["", "effect.after_call=kill@1", "step.completed=kill@1"])
def test_a_message_of_a_tool_reaches_the_next_step_of_its_role_once(
    world: tuple[Process, Process], failpoint: str
) -> None:
    agent, tools = world
    agent.start(MILEPOST_FAILPOINTS=failpoint)
    agent.wait_serving()
    client = AgentClient(agent.target)
    client.wait_ready("toolbox", "worker")
    key = "6a9b1f6e-2a51-4d3f-9a55-000000000007"
    started = client.start_run(PROMPT, key)
    if failpoint:
        agent.wait_killed()
        agent.start()
        agent.wait_serving()
    ended = client.wait_ended(started.run_id)
    assert ended.outcome == agent_pb2.RUN_OUTCOME_COMPLETED
    request = agent_pb2.ListMessagesRequest(run_id=started.run_id)
    (stored,) = client.agent.ListMessages(request, timeout=PATIENCE).messages
    message = stored.message
    assert (message.sender_role, message.recipient_role, message.hop_index) == ("clerk", "coder", 1)
    assert (message.payload, stored.delivered) == ("use a context manager", True)
    refused = [event for event in client.events(started.run_id) if event.type == "MessageRefused"]
    assert [event.data["recipient_role"] for event in refused] == ["poet"]
    (call,) = list_calls(tools.target)
    assert (call.started, call.completed) == (1, 1)
    assert call.requested == (2 if failpoint.startswith("effect") else 1)
    client.close()
