"""The JSON logs of agent, gateway and operator as processes; those of services are in test_service_telemetry.py."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest

from milepost_service.testing import free_port
from processes import PATIENCE, AgentClient, agent_process, running, scripted_process

pytestmark = pytest.mark.requirement("OBS-4")
JSON = {"MILEPOST_LOG_FORMAT": "json", "MILEPOST_LOG_LEVEL": "DEBUG", "PYTHONWARNINGS": "default"}
FLOW = {
    "pattern": "linear",
    "maxHops": 2,
    "steps": [{"name": "code", "role": "coder", "capability": "coding"}],
    "arbitrator": {"modelRef": {"name": "worker"}},
}


def lines_of(log: Path) -> list[dict[str, Any]]:
    """All lines; an AssertionError for one that is not a whole JSON line of ours."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        assert set(line) >= {"time", "level", "service", "message"}, line
    return lines


def test_an_agent_and_its_service_write_json_from_start_to_end(tmp_path: Path) -> None:
    """A whole run at level DEBUG: no line of another form, and those of the run have its correlation and trace id."""
    agent = agent_process(tmp_path / "agent", FLOW, **JSON)
    worker = scripted_process(tmp_path / "worker", "worker", "coding", agent.target)
    worker.environment |= JSON
    with running(agent, worker):
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        run = client.wait_ended(client.start_run("Write a line.", str(uuid.uuid4())).run_id)
        client.close()
    assert len(lines_of(agent.log)) > 3
    trace_id = run.trace_context.traceparent.split("-")[1]
    [invoke] = [line for line in lines_of(worker.log) if line["message"].startswith("Invoke")]
    assert (invoke["correlation_id"], invoke["service"]) == (run.correlation_id, "worker")
    assert len(invoke["trace_id"]) == len(trace_id) == 32


def test_a_gateway_writes_json_also_for_requests_that_are_not_http(tmp_path: Path) -> None:
    """uvicorn's own complaints are lines of ours."""
    port, log = free_port(), tmp_path / "gateway.log"
    told = {**os.environ, **JSON, "MILEPOST_LISTEN": f"127.0.0.1:{port}", "MILEPOST_AGENTS": "flow=127.0.0.1:1"}
    command = [sys.executable, "-c", "from milepost_gateway.main import main; main()"]
    with log.open("wb") as output, subprocess.Popen(command, env=told, stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60).close()
                    break
                except OSError:
                    time.sleep(0.05)
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"\x00\xff not http\r\n\r\n")
                assert connection.recv(1024)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    lines = lines_of(log)
    assert any("Invalid HTTP request" in line["message"] for line in lines)
    assert {line["service"] for line in lines} == {"gateway"}


@pytest.mark.parametrize(
    ("environment", "code"), [({"MILEPOST_CONCURRENCY": "many"}, 2), ({"KUBECONFIG": "/nowhere/config"}, 2)]
)
def test_an_operator_says_in_json_why_it_does_not_start(environment: dict[str, str], code: int) -> None:
    """A setting that is wrong, and a cluster that nobody told it of."""
    command = [sys.executable, "-c", "import sys; from milepost_operator.main import main; sys.exit(main())"]
    told = {**os.environ, **JSON, **environment}
    done = subprocess.run(command, env=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
    assert done.returncode == code, done.stdout
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert lines[-1]["level"] == "ERROR"
    assert {line["service"] for line in lines} == {"milepost-operator"}
