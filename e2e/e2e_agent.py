"""Calls to an agent and to the services in the cluster, repeated while their pods are away."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc

from e2e_cluster import Cluster, ready_pods
from e2e_tunnel import Tunnel
from e2e_waiting import eventually, one_line
from milepost.agent.v1 import agent_pb2, agent_pb2_grpc
from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.registry.v1 import registry_pb2, registry_pb2_grpc

Answer = TypeVar("Answer")

AGENT_PORT = 50051
SERVICE_PORT = 50052
ATTEMPT_SECONDS = 10.0
PATIENCE_SECONDS = 120.0
CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", 16 * 2**20),
)
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
Calls = dict[str, capability_pb2.Call]
INVOKE = "/milepost.capability.v1.CapabilityService/Invoke"


class AgentClient:
    """One pod of a workflow, by its stable name."""

    def __init__(self, namespace: str, workflow: str, ordinal: int = 0) -> None:
        self.pod = f"{workflow}-{ordinal}"
        self._tunnel = Tunnel(namespace, lambda: self.pod, AGENT_PORT)
        self._channel = grpc.insecure_channel(self._tunnel.target, options=CHANNEL_OPTIONS)
        self.agent = agent_pb2_grpc.AgentServiceStub(self._channel)
        self.registry = registry_pb2_grpc.RegistryServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()
        self._tunnel.close()

    def start_run(self, prompt: str) -> agent_pb2.Run:
        """A new run; repeated under the same correlation id until it is acknowledged."""
        request = agent_pb2.StartRunRequest(prompt=prompt, correlation_id=str(uuid.uuid4()))
        return persist(self.agent.StartRun, request).run

    def get(self, run_id: str) -> agent_pb2.Run:
        return persist(self.agent.GetRun, agent_pb2.GetRunRequest(run_id=run_id)).run

    def runs(self) -> list[agent_pb2.Run]:
        return list(persist(self.agent.ListRuns, agent_pb2.ListRunsRequest(page_size=100)).runs)

    def events(self, run_id: str, within: float = PATIENCE_SECONDS) -> Iterator[agent_pb2.RunEvent]:
        """From the beginning to the end of the run, over any number of restarts of the agent."""
        last = 0
        until = time.monotonic() + within
        error = "no connection was tried"
        while time.monotonic() < until:
            request = agent_pb2.WatchRunRequest(run_id=run_id, after_sequence=last)
            try:
                watch = self.agent.WatchRun(request, timeout=until - time.monotonic(), wait_for_ready=True)
                for response in watch:
                    last = response.event.sequence
                    yield response.event
                    if response.event.type == "RunCompleted":
                        return
                error = "the stream ended"
            except grpc.RpcError as failed:
                error = one_line(failed)
                if failed.code() not in AWAY:
                    raise
            time.sleep(0.1)
        raise AssertionError(f"run {run_id} has not ended after {within:.0f} s; last event {last}; {error}")

    def wait_event(self, run_id: str, kind: str, *, step: str = "", hop: int | None = None) -> agent_pb2.RunEvent:
        """The first event of that kind (of that step, of that 1-based hop)."""
        for event in self.events(run_id):
            if event.type == kind and step in ("", event.step) and hop in (None, event.hop_index):
                return event
        raise AssertionError(f"run {run_id} ended without {kind} {step} {hop or ''}; it had {self.history(run_id)}")

    def wait_ended(self, run_id: str, within: float = PATIENCE_SECONDS) -> agent_pb2.Run:
        for _ in self.events(run_id, within):
            pass
        return self.get(run_id)

    def history(self, run_id: str) -> list[str]:
        return [f"{event.type} {event.step}".strip() for event in self.events(run_id)]

    def services(self) -> dict[str, registry_pb2.Service]:
        """The services that the agent knows, by name."""
        listed = self.registry.ListServices(registry_pb2.ListServicesRequest(), timeout=ATTEMPT_SECONDS)
        return {service.name: service for service in listed.services}

    def ready_services(self) -> set[str]:
        ready = registry_pb2.SERVICE_STATE_READY
        return {name for name, service in self.services().items() if service.state == ready}

    def wait_ready_services(self, names: set[str], within: float = 60) -> None:
        eventually(f"{self.pod} has the ready services {names}", self.ready_services, names.issubset, within=within)


class ServiceClient:
    """A ready pod of a service."""

    def __init__(self, cluster: Cluster, namespace: str, selector: str) -> None:
        def pod() -> str:
            return str(ready_pods(cluster.pods(namespace, selector))[0]["metadata"]["name"])

        self._tunnel = Tunnel(namespace, pod, SERVICE_PORT)
        self._channel = grpc.insecure_channel(self._tunnel.target, options=CHANNEL_OPTIONS)
        self._stub = capability_pb2_grpc.CapabilityServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()
        self._tunnel.close()

    def calls(self, correlation_id: str) -> list[capability_pb2.Call]:
        """What the service counted for one run, newest first."""
        listed = persist(self._stub.ListCalls, capability_pb2.ListCallsRequest())
        return [call for call in listed.calls if call.correlation_id == correlation_id]

    def invocations(self, correlation_id: str) -> Calls:
        return {call.call_id: call for call in self.calls(correlation_id) if call.method == INVOKE}


def persist(method: Callable[..., Answer], request: Any) -> Answer:
    """The answer, asked again while nobody is there; every request here is safe to repeat."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return method(request, timeout=ATTEMPT_SECONDS, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() not in AWAY or time.monotonic() > until:
                raise
            time.sleep(0.1)


def outcome(run: agent_pb2.Run) -> str:
    return str(agent_pb2.RunOutcome.Name(run.outcome)).removeprefix("RUN_OUTCOME_")


def in_flight(calls: Calls) -> set[str]:
    """Ids of the calls that are being worked on."""
    return {call_id for call_id, call in calls.items() if call.started > call.completed}


def assert_nothing_repeated(before: Calls, after: Calls, told: str) -> None:
    """A call in flight at the kill may come twice under its one id; every other call came exactly once."""
    again = in_flight(before)
    for call_id, call in after.items():
        assert call.completed == 1, (call, told)
        assert call.started == 1 or (call_id in again and call.started == 2), (call, told)
