"""Real Milepost processes on loopback, started and killed by a test."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from milepost.agent.v1 import agent_pb2, agent_pb2_grpc
from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.registry.v1 import registry_pb2, registry_pb2_grpc
from milepost_service.testing import free_port

PATIENCE = 60.0
SCRIPTED = Path(__file__).with_name("scripted_service.py")


@dataclass
class Process:
    """One process of Milepost; its output goes to a log beside its state."""

    name: str
    command: Sequence[str]
    log: Path
    environment: dict[str, str]
    target: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    popen: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        """Starts it and returns at once; `environment` holds for this start alone."""
        merged = {**os.environ, **self.environment, "MILEPOST_LISTEN": self.target, **environment}
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(self.command, env=merged, stdout=log, stderr=log, start_new_session=True)

    def wait_serving(self) -> None:
        deadline = time.monotonic() + PATIENCE
        with grpc.insecure_channel(self.target) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while time.monotonic() < deadline:
                assert self.popen and self.popen.poll() is None, f"{self.name} ended: {self.log.read_text()}"
                try:
                    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=2, wait_for_ready=True)
                except grpc.RpcError:
                    continue
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
                time.sleep(0.02)
        raise AssertionError(f"{self.name} did not serve within {PATIENCE} s: {self.log.read_text()}")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self.popen
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def wait_killed(self) -> None:
        """Waits until a failpoint has killed it."""
        assert self.popen
        assert self.popen.wait(PATIENCE) == -signal.SIGKILL, self.log.read_text()

    def stop(self) -> int:
        """SIGTERM and its exit code; nothing when it never ran or has ended."""
        if self.popen is None:
            return 0
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


class AgentClient:
    """Blocking calls to one agent."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target)
        self.agent = agent_pb2_grpc.AgentServiceStub(self._channel)
        self.registry = registry_pb2_grpc.RegistryServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def start_run(self, prompt: str, correlation_id: str = "") -> agent_pb2.Run:
        request = agent_pb2.StartRunRequest(prompt=prompt, correlation_id=correlation_id)
        return self.agent.StartRun(request, timeout=PATIENCE, wait_for_ready=True).run

    def get(self, run_id: str) -> agent_pb2.Run:
        return self.agent.GetRun(agent_pb2.GetRunRequest(run_id=run_id), timeout=PATIENCE, wait_for_ready=True).run

    def events(self, run_id: str, after: int = 0) -> Iterator[agent_pb2.RunEvent]:
        request = agent_pb2.WatchRunRequest(run_id=run_id, after_sequence=after)
        for response in self.agent.WatchRun(request, timeout=PATIENCE, wait_for_ready=True):
            yield response.event

    def wait_event(self, run_id: str, kind: str, step: str = "") -> agent_pb2.RunEvent:
        for event in self.events(run_id):
            if event.type == kind and step in ("", event.step):
                return event
        raise AssertionError(f"the run ended without {kind} {step}")

    def wait_ended(self, run_id: str) -> agent_pb2.Run:
        for _ in self.events(run_id):
            pass
        return self.get(run_id)

    def wait_ready(self, *names: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            listed = self.registry.ListServices(registry_pb2.ListServicesRequest(), timeout=60, wait_for_ready=True)
            ready = {each.name for each in listed.services if each.state == registry_pb2.SERVICE_STATE_READY}
            if set(names) <= ready:
                return
            time.sleep(0.05)
        raise AssertionError(f"not ready within {PATIENCE} s: {sorted(set(names) - ready)}")


def list_calls(target: str) -> list[capability_pb2.Call]:
    """The calls that a service saw, by its own count."""
    with grpc.insecure_channel(target) as channel:
        stub = capability_pb2_grpc.CapabilityServiceStub(channel)
        return list(stub.ListCalls(capability_pb2.ListCallsRequest(), timeout=60, wait_for_ready=True).calls)


def agent_process(directory: Path, workflow: dict[str, object], name: str = "flow", **environment: str) -> Process:
    """An agent over `directory`, not started. `workflow` is the spec."""
    manifest = {
        "apiVersion": "milepost.dev/v1alpha1",
        "kind": "AgentWorkflow",
        "metadata": {"name": name},
        "spec": workflow,
    }
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "workflow.yaml"
    file.write_text(yaml.safe_dump(manifest))
    settings = {"MILEPOST_WORKFLOW_FILE": str(file), "MILEPOST_DATA_DIR": str(directory), **environment}
    command = [sys.executable, "-m", "milepost_agent"]
    return Process(name, command, directory / "agent.log", settings)


def scripted_process(
    directory: Path, name: str, capabilities: str, registry: str, seconds: float = 0.0, rejections: int = 0
) -> Process:
    """A scripted service that registers with `registry`, not started."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = {
        "MILEPOST_SERVICE_FILE": str(directory / "unused.yaml"),
        "MILEPOST_REGISTRIES": registry,
        "SCRIPTED_NAME": name,
        "SCRIPTED_CAPABILITIES": capabilities,
        "SCRIPTED_SECONDS": str(seconds),
        "SCRIPTED_REJECTIONS": str(rejections),
    }
    return Process(name, [sys.executable, str(SCRIPTED)], directory / f"{name}.log", settings)


@contextmanager
def running(*processes: Process) -> Iterator[None]:
    """Starts all, waits until all serve, and stops what still runs at the end."""
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.wait_serving()
        yield
    finally:
        for process in processes:
            process.stop()
