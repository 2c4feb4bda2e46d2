"""The services of a kill point: real processes that count by call id what they were asked for and completed."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from matrix_ports import next_target
from matrix_zygote import Zygote
from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.registry.v1 import registry_pb2

SCRIPT = Path(__file__).resolve().parents[1] / "integration" / "scripted_service.py"
PATIENCE = 30.0
CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 100),
)


@dataclass(frozen=True)
class Count:
    """What services say of one call id, added up."""

    requested: int = 0
    started: int = 0
    completed: int = 0
    method: str = ""

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.requested + other.requested,
            self.started + other.started,
            self.completed + other.completed,
            self.method or other.method,
        )


Counts = Mapping[str, Count]


@dataclass
class Service:
    """One process. What it counted before it was killed is kept here."""

    zygote: Zygote
    folder: Path
    name: str
    capabilities: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    target: str = field(default_factory=next_target)
    pid: int = 0
    before: dict[str, Count] = field(default_factory=dict)
    _channel: grpc.Channel | None = None

    def start(self) -> None:
        environment = {
            "MILEPOST_LISTEN": self.target,
            "MILEPOST_SERVICE_FILE": str(self.folder / "unused.yaml"),
            "SCRIPTED_NAME": self.name,
            "SCRIPTED_CAPABILITIES": ",".join(self.capabilities),
            **self.environment,
        }
        self.pid = self.zygote.fork(str(SCRIPT), environment, self.folder / f"{self.name}.log")
        self._channel = grpc.insecure_channel(self.target, options=CHANNEL_OPTIONS)
        grpc.channel_ready_future(self._channel).result(PATIENCE)

    def counts(self, correlation_ids: Iterable[str]) -> dict[str, Count]:
        """By call id, for some requests."""
        wanted = set(correlation_ids)
        found = dict(self.before)
        for call in self._calls():
            if call.correlation_id in wanted:
                count = Count(max(call.requested, call.started), call.started, call.completed, call.method)
                found[call.call_id] = found.get(call.call_id, Count()) + count
        return found

    def wait_busy(self, correlation_ids: Iterable[str]) -> None:
        """Waits until it works on a call of these requests.

        Raises:
            TimeoutError: it was not asked.
        """
        wanted = set(correlation_ids)
        deadline = time.monotonic() + PATIENCE
        while not any(count.started > count.completed for count in self.counts(wanted).values()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"service {self.name} was not asked in {PATIENCE:g} s")
            time.sleep(0.005)

    def kill(self, correlation_ids: Iterable[str]) -> None:
        """SIGKILL; keeps what it had counted for these requests."""
        self.before = self.counts(correlation_ids)
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it for good."""
        if self.pid:
            self._end(signal.SIGKILL)
        self.before = {}

    def entry(self) -> registry_pb2.Service:
        """How an agent knows it."""
        return registry_pb2.Service(name=self.name, target=self.target, capabilities=self.capabilities)

    def _calls(self) -> list[capability_pb2.Call]:
        if not self.pid or self._channel is None:
            return []
        stub = capability_pb2_grpc.CapabilityServiceStub(self._channel)
        return list(stub.ListCalls(capability_pb2.ListCallsRequest(), timeout=PATIENCE, wait_for_ready=True).calls)

    def _end(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)
        self.zygote.reap(self.pid)
        self.pid = 0
        if self._channel is not None:
            self._channel.close()
            self._channel = None


@dataclass
class Services:
    """All services that an agent may call."""

    members: list[Service]

    def start(self) -> None:
        for member in self.members:
            member.start()

    def stop(self) -> None:
        for member in self.members:
            with contextlib.suppress(ProcessLookupError):
                member.stop()

    def counts(self, correlation_ids: Iterable[str]) -> dict[str, Count]:
        total: dict[str, Count] = {}
        wanted = set(correlation_ids)
        for member in self.members:
            for call_id, count in member.counts(wanted).items():
                total[call_id] = total.get(call_id, Count()) + count
        return total

    def named(self, name: str) -> Service:
        return next(member for member in self.members if member.name == name)

    @property
    def damaged(self) -> bool:
        """Whether one of them was killed, so that they are of no use to another kill point."""
        return any(member.before or not member.pid for member in self.members)
