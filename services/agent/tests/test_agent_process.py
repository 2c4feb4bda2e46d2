"""The agent as a process: what a kubelet sees while it waits, drains, and cannot write any more."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from milepost.agent.v1 import agent_pb2, agent_pb2_grpc
from milepost_agent.store.owner import Ownership
from milepost_service.server import LIVENESS
from milepost_service.testing import free_port

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
WORKFLOW = """\
apiVersion: milepost.dev/v1alpha1
kind: AgentWorkflow
metadata: {name: flow}
spec:
  pattern: linear
  steps: [{name: code, role: coder, capability: coding}]
  arbitrator: {modelRef: {name: brain}}
"""


class AgentProcess:
    def __init__(self, folder: Path, **environment: str) -> None:
        (folder / "workflow.yaml").write_text(WORKFLOW)
        self.log = folder / "log"
        self.target = f"127.0.0.1:{free_port()}"
        settings = {
            "MILEPOST_LISTEN": self.target,
            "MILEPOST_WORKFLOW_FILE": str(folder / "workflow.yaml"),
            "MILEPOST_DATA_DIR": str(folder),
        }
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "milepost_agent"], env={**os.environ, **settings, **environment}, stderr=output
            )

    def health(self, service: str = "") -> int:
        with grpc.insecure_channel(self.target) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service=service)
            return int(stub.Check(request, timeout=60, wait_for_ready=True).status)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def said(self, words: str) -> bool:
        return words in self.log.read_text()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., AgentProcess]]:
    started: list[AgentProcess] = []

    def start_agent(**environment: str) -> AgentProcess:
        started.append(AgentProcess(tmp_path, **environment))
        return started[-1]

    yield start_agent
    for agent in started:
        agent.process.kill()
        agent.process.wait()


@pytest.mark.requirement("DUR-1", "AGT-4")
def test_a_pod_that_starts_while_its_forerunner_ends_waits_for_the_file_and_is_alive_meanwhile(
    tmp_path: Path, start: Callable[..., AgentProcess]
) -> None:
    owner = Ownership.acquire(tmp_path / "milepost.db")
    agent = start(MILEPOST_LOCK_WAIT_SECONDS="60")
    agent.until(lambda: agent.said("waiting up to 60 s"))
    assert agent.said(f"in use by pid {os.getpid()} on ")
    assert (agent.health(), agent.health(LIVENESS)) == (NOT_SERVING, SERVING)
    owner.release()
    agent.until(lambda: agent.said("serving on"))
    assert (agent.health(), agent.health(LIVENESS)) == (SERVING, SERVING)


def test_a_signal_ends_the_wait(tmp_path: Path, start: Callable[..., AgentProcess]) -> None:
    owner = Ownership.acquire(tmp_path / "milepost.db")
    agent = start(MILEPOST_LOCK_WAIT_SECONDS="60")
    agent.until(lambda: agent.said("waiting up to 60 s"))
    agent.health(LIVENESS)
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(30) == 0
    owner.release()


@pytest.mark.requirement("DUR-1")
@pytest.mark.parametrize("seconds", ["0", "0.5"])
def test_a_file_that_is_not_let_go_is_one_line_and_exit_code_2(
    tmp_path: Path, start: Callable[..., AgentProcess], seconds: str
) -> None:
    owner = Ownership.acquire(tmp_path / "milepost.db")
    agent = start(MILEPOST_LOCK_WAIT_SECONDS=seconds)
    assert agent.process.wait(60) == 2
    last = agent.log.read_text().splitlines()[-1]
    assert last.startswith(f"milepost-agent: {tmp_path / 'milepost.db'}: in use by pid {os.getpid()} on ")
    owner.release()


@pytest.mark.requirement("DUR-6")
def test_an_agent_whose_store_failed_goes_on_by_itself(start: Callable[..., AgentProcess]) -> None:
    agent = start(MILEPOST_FAILPOINTS="store.before_commit=raise@2")
    agent.until(lambda: agent.said("serving on"))
    with grpc.insecure_channel(agent.target) as channel, pytest.raises(grpc.RpcError):
        agent_pb2_grpc.AgentServiceStub(channel).StartRun(agent_pb2.StartRunRequest(prompt="go"), timeout=60)
    agent.until(lambda: agent.said("the disk takes data again"))
    agent.until(lambda: agent.health() == SERVING)
    with grpc.insecure_channel(agent.target) as channel:
        agent_pb2_grpc.AgentServiceStub(channel).StartRun(agent_pb2.StartRunRequest(prompt="go"), timeout=60)
    assert "Traceback" not in agent.log.read_text()
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(30) == 0


@pytest.mark.requirement("DUR-6")
def test_metrics_tell_commits_and_runs_by_state_and_go_with_the_process(start: Callable[..., AgentProcess]) -> None:
    place = f"127.0.0.1:{free_port()}"
    agent = start(MILEPOST_METRICS_LISTEN=place)
    agent.until(lambda: agent.health() == SERVING)
    with grpc.insecure_channel(agent.target) as channel:
        agent_pb2_grpc.AgentServiceStub(channel).StartRun(agent_pb2.StartRunRequest(prompt="go"), timeout=60)
    with urllib.request.urlopen(f"http://{place}/metrics", timeout=60) as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#"))
    assert float(lines["milepost_store_commits_total"]) == float(lines["milepost_store_commit_seconds_count"]) > 0
    assert lines['milepost_store_commit_seconds_bucket{le="+Inf"}'] == lines["milepost_store_commit_seconds_count"]
    assert sum(float(lines[f'milepost_runs{{state="{state}"}}']) for state in ("accepted", "running")) == 1
    assert float(lines["milepost_store_size_bytes"]) > 0
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(30) == 0


@pytest.mark.parametrize(
    ("listen", "words"), [("127.0.0.1:{busy}", "Address already in use"), ("nowhere", "is not an address")]
)
def test_a_place_for_metrics_that_cannot_be_had_is_one_line_and_exit_code_2(
    start: Callable[..., AgentProcess], listen: str, words: str
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        agent = start(MILEPOST_METRICS_LISTEN=listen.format(busy=holder.getsockname()[1]))
        assert agent.process.wait(60) == 2
    said = agent.log.read_text()
    assert said.startswith("milepost-agent: MILEPOST_METRICS_LISTEN: ") and words in said
    assert said.count("\n") == 1
