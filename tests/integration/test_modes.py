"""The observability mode of real processes: switched without a restart, followed by services, and over by itself."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from milepost.agent.v1 import agent_pb2
from milepost_cli.state import StateDirectory, UpRecord
from otlp_debug_receiver import DebugReceiver, receiving_debug
from processes import PATIENCE, AgentClient, Process, agent_process, running, scripted_process

SPEC: dict[str, object] = {
    "pattern": "linear",
    "steps": [{"name": "code", "role": "coder", "capability": "coding"}],
    "arbitrator": {"modelRef": {"name": "worker"}},
}
DEBUG = agent_pb2.OBSERVABILITY_MODE_DEBUG
SHIPPING = agent_pb2.OBSERVABILITY_MODE_SHIPPING


@dataclass
class Scene:
    """An agent and a service that send to a receiver."""

    receiver: DebugReceiver
    process: Process
    client: AgentClient
    folder: Path

    def mode(self) -> agent_pb2.GetObservabilityResponse:
        answer: agent_pb2.GetObservabilityResponse = self.client.agent.GetObservability(
            agent_pb2.GetObservabilityRequest(), timeout=PATIENCE
        )
        return answer

    def switch(self, mode: agent_pb2.ObservabilityMode, seconds: int | None = None) -> None:
        request = agent_pb2.SetObservabilityRequest(mode=mode, cause="a test")
        if seconds is not None:
            request.duration.CopyFrom(Duration(seconds=seconds))
        self.client.agent.SetObservability(request, timeout=PATIENCE)

    def wait_mode(self, mode: agent_pb2.ObservabilityMode) -> agent_pb2.GetObservabilityResponse:
        answer: agent_pb2.GetObservabilityResponse = until(self.mode, lambda answer: answer.mode == mode)
        return answer

    def own_events(self) -> list[agent_pb2.RunEvent]:
        found: list[agent_pb2.RunEvent] = []
        last = self.client.agent.GetAgent(agent_pb2.GetAgentRequest(), timeout=PATIENCE).last_sequence
        for response in self.client.agent.WatchRun(agent_pb2.WatchRunRequest(), timeout=PATIENCE):
            found += [response.event] if not response.event.run_id else []
            if response.event.sequence >= last:
                break
        return found

    def changes(self) -> list[tuple[Any, Any, Any]]:
        changed = [event.data for event in self.own_events() if event.type == "ObservabilityChanged"]
        return [(data["previous"], data["mode"], data["cause"]) for data in changed]


def until(ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not good(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def milepost_obs(scene: Scene, folder: Path, mode: str) -> None:
    """The command, on a state directory that names this agent."""
    state = StateDirectory(folder / "state")
    with state.owned():
        state.write(UpRecord(os.getpid(), time.time(), "ready", {"flow": scene.process.target}, {}, {}))
        command = [sys.executable, "-m", "milepost_cli", "obs", mode, "--state", str(state.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"flow: {mode}\n", "")


@pytest.fixture
def receiver() -> Iterator[DebugReceiver]:
    with receiving_debug() as receiver:
        yield receiver


@pytest.fixture
def scene(tmp_path: Path, receiver: DebugReceiver) -> Iterator[Scene]:
    folder = tmp_path / "agent"
    sending = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_TRACES_EXPORTER": "none"}
    agent = agent_process(folder, SPEC, MILEPOST_CRASH_DEBUG_SECONDS="20", **sending)
    worker = scripted_process(tmp_path / "worker", "worker", "coding", agent.target)
    worker.environment |= sending
    with running(agent, worker):
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        yield Scene(receiver, agent, client, folder)
        client.close()


@pytest.mark.requirement("OBS-1", "OBS-4")
def test_logs_and_metrics_begin_and_stop_with_the_mode_in_one_process_and_its_services(
    scene: Scene, tmp_path: Path
) -> None:
    assert scene.mode().mode == SHIPPING
    scene.client.wait_ended(scene.client.start_run("in shipping").run_id)
    scene.switch(DEBUG, 600)
    run = scene.client.wait_ended(scene.client.start_run("in debug").run_id)
    trace_id = run.trace_context.traceparent.split("-")[1]
    step = scene.receiver.wait_log(lambda log: log.service == "flow" and log.body.startswith("Step code: "))
    assert (step.attributes["correlation.id"], step.trace_id) == (run.correlation_id, trace_id)
    served = scene.receiver.wait_log(lambda log: log.service == "worker" and log.body.startswith("Invoke "))
    assert (served.attributes["correlation.id"], served.trace_id) == (run.correlation_id, trace_id)
    assert scene.receiver.wait_log(lambda log: log.severity == "DEBUG")
    ended = scene.receiver.wait_metric(lambda metric: metric.name == "milepost_runs")
    assert (ended.service, ended.kind) == ("flow", "gauge")
    commits = scene.receiver.wait_metric(lambda metric: metric.name == "milepost_store_commit_seconds")
    (point,) = commits.points
    assert commits.kind == "histogram" and sum(point.bucket_counts) == point.count > 0
    for service in ("flow", "worker"):
        cpu = scene.receiver.wait_metric(
            lambda metric, service=service: (metric.service, metric.name) == (service, "milepost_cpu_seconds")
        )
        assert cpu.kind == "sum"
    assert not [log for log in scene.receiver.logs if log.logger.startswith(("opentelemetry", "grpc"))]

    milepost_obs(scene, tmp_path, "shipping")
    stopped = time.time()
    scene.client.wait_ended(scene.client.start_run("in shipping again").run_id)
    begun = time.time()
    scene.switch(DEBUG)
    scene.client.start_run("in debug again")
    scene.receiver.wait_log(lambda log: log.service == "flow" and log.time > begun)
    between = [log for log in scene.receiver.logs if log.service == "flow" and stopped < log.time < begun]
    assert between == []
    assert [
        metric for metric in scene.receiver.metrics if metric.service == "flow" and stopped < metric.time < begun
    ] == []
    assert [event.type for event in scene.own_events()].count("AgentStarted") == 1
    assert ("debug", "shipping", "milepost obs") in scene.changes()


@pytest.mark.requirement("OBS-1")
def test_a_file_switches_the_mode_of_a_running_agent_and_the_newer_of_file_and_hand_wins(scene: Scene) -> None:
    file = scene.folder / "observability"
    file.write_text("debug\n")
    assert scene.wait_mode(DEBUG).cause == "observability file"
    scene.switch(SHIPPING)
    assert scene.mode().cause == "a test"
    swapped = scene.folder / "observability.new"
    swapped.write_text("shipping")
    swapped.replace(file)
    until(scene.mode, lambda answer: answer.cause == "observability file")
    file.write_text("debug")
    scene.wait_mode(DEBUG)
    assert scene.changes() == [
        ("shipping", "debug", "observability file"),
        ("debug", "shipping", "a test"),
        ("shipping", "debug", "observability file"),
    ]


@pytest.mark.requirement("OBS-1")
def test_a_crash_turns_debug_on_until_a_deadline_that_further_crashes_do_not_move(scene: Scene) -> None:
    scene.process.kill()
    scene.process.start()
    scene.process.wait_serving()
    first = scene.mode()
    assert (first.mode, first.cause) == (DEBUG, "crash detected")
    scene.process.kill()
    scene.process.start()
    scene.process.wait_serving()
    again = scene.mode()
    assert (again.until, again.cause) == (first.until, first.cause) or again.mode == SHIPPING
    scene.wait_mode(SHIPPING)
    assert time.time() >= first.until.ToNanoseconds() / 1e9
    until(scene.changes, lambda changes: len(changes) == 2)
    assert scene.changes() == [
        ("shipping", "debug", "crash detected"),
        ("debug", "shipping", "deadline passed"),
    ]
    started = [event.data["cause"] for event in scene.own_events() if event.type == "AgentStarted"]
    assert started == ["first", "crash", "crash"]


@pytest.mark.requirement("OBS-5")
def test_a_receiver_that_refuses_holds_no_run_up_and_what_is_lost_is_told(scene: Scene) -> None:
    scene.receiver.refuses = True
    scene.switch(DEBUG)
    run = scene.client.wait_ended(scene.client.start_run("refused").run_id)
    assert run.outcome == agent_pb2.RUN_OUTCOME_COMPLETED
    telemetry = until(lambda: scene.mode().telemetry, lambda telemetry: telemetry.dropped > 0)
    assert "PERMISSION_DENIED: not today" in telemetry.failure
    scene.switch(SHIPPING)
    until(lambda: scene.mode().telemetry.failure, lambda failure: not failure)
