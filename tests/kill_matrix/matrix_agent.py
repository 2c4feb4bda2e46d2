"""An agent process that is killed according to a plan and started again at once, and calls that outlive its deaths."""

import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import apsw
import grpc
import yaml
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from matrix_memory import MemoryLimit
from matrix_ports import next_target
from matrix_services import CHANNEL_OPTIONS, Counts, Services
from matrix_zygote import AGENT, Launcher
from milepost.agent.v1 import agent_pb2, agent_pb2_grpc
from milepost.registry.v1 import registry_pb2, registry_pb2_grpc
from milepost_agent.failpoints import OPENING_FAILPOINTS
from milepost_service.settings import split_address

Answer = TypeVar("Answer")

PATIENCE = 60.0
POLL_SECONDS = 0.003
LEASE_SECONDS = 300
DATABASE = "milepost.db"
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN)


class PointFailed(Exception):
    """The kill point does not hold what is promised: one line."""


@dataclass(frozen=True)
class Death:
    """How a process ended (exit status; negative: by that signal), and what was known at that moment."""

    status: int
    recorded: frozenset[str]
    counts: Counts


@dataclass
class Agent:
    """The agent of one kill point. `plan` holds MILEPOST_FAILPOINTS of its first starts; later starts have none."""

    launcher: Launcher
    folder: Path
    services: Services
    workflow: Mapping[str, Any]
    plan: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict)
    limit: MemoryLimit | None = None
    recording: Path | None = None
    deaths: list[Death] = field(default_factory=list)
    correlation_ids: list[str] = field(default_factory=list)
    starts: int = 0
    pid: int = 0
    _handle: int = -1
    _channel: grpc.Channel | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        metadata = {"name": "flow"}
        manifest = {"apiVersion": "milepost.dev/v1alpha1", "kind": "AgentWorkflow", "metadata": metadata}
        (self.folder / "workflow.yaml").write_text(yaml.safe_dump({**manifest, "spec": dict(self.workflow)}))

    @property
    def database(self) -> Path:
        return self.folder / DATABASE

    def call(self, rpc: Callable[[agent_pb2_grpc.AgentServiceStub], Answer]) -> Answer:
        """Does a call, again and again until it is answered, however often the agent dies meanwhile.

        Raises:
            PointFailed: no answer in time, or one that no client should get.
        """
        return self.call_over(lambda channel: rpc(agent_pb2_grpc.AgentServiceStub(channel)))

    def call_over(self, rpc: Callable[[grpc.Channel], Answer]) -> Answer:
        """The same for any service of the agent.

        Raises:
            PointFailed: no answer in time, or one that no client should get.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            channel = self.serving()
            try:
                return rpc(channel)
            except grpc.RpcError as error:
                self._away(error)
        raise PointFailed(f"a call was not answered in {PATIENCE:g} s")

    def watch(self, after: int = 0) -> Iterator[agent_pb2.RunEvent]:
        """All events of all runs, each once and in order, as a client sees them that comes back with its last one."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            stub = agent_pb2_grpc.AgentServiceStub(self.serving())
            request = agent_pb2.WatchRunRequest(after_sequence=after)
            try:
                for response in stub.WatchRun(request, timeout=PATIENCE):
                    after = response.event.sequence
                    yield response.event
                self._settle()
            except grpc.RpcError as error:
                self._away(error)
        raise PointFailed(f"the run did not end in {PATIENCE:g} s")

    def serving(self) -> grpc.Channel:
        """A channel to the agent that serves; it is started when it is not there, as often as the plan kills it."""
        while self._channel is None or self._ended():
            self._start()
        return self._channel

    def end(self) -> int:
        """SIGTERM, and its exit status. One that its plan kills while it stops is started and stopped once more."""
        while True:
            self.serving()
            os.kill(self.pid, signal.SIGTERM)
            if not self._wait_ended(PATIENCE):
                raise PointFailed(f"the agent did not stop within {PATIENCE:g} s of SIGTERM")
            planned = self._planned()
            status = self._reap()
            if not planned or status == 0:
                return status
            self._bury(status, planned)

    def died_as_planned(self) -> bool:
        """Whether each start of the plan ended at the last of its failpoints."""
        lasts = [allowed_statuses(planned.rpartition(";")[2]) for planned in self.plan]
        return len(self.deaths) >= len(lasts) and all(
            death.status in last for death, last in zip(self.deaths, lasts, strict=False)
        )

    def abandon(self) -> None:
        """Ends what is left of it."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self._wait_ended(PATIENCE)
            self._reap()

    def recorded(self) -> frozenset[str]:
        """Call ids in the ledger, read from a copy; the agent is not running."""
        rows = self.read("SELECT call_id FROM ledger") if self.database.exists() else []
        return frozenset(str(row[0]) for row in rows)

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the file as it lies there, read from a copy, so that the file stays as the process left it."""
        copy = self.folder / "copy"
        copy.mkdir(exist_ok=True)
        for suffix in ("", "-wal"):
            (copy / (DATABASE + suffix)).unlink(missing_ok=True)
            source = self.folder / (DATABASE + suffix)
            if source.exists():
                shutil.copyfile(source, copy / source.name)
        connection = apsw.Connection(str(copy / DATABASE))
        try:
            if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'ledger'").get == 0:
                return []
            rows: list[tuple[Any, ...]] = connection.execute(query).fetchall()
            return rows
        finally:
            connection.close()

    def _start(self) -> None:
        """Starts it and waits until it serves or has ended."""
        self.starts += 1
        failpoints = self._planned()
        target = next_target()
        environment = {
            "MILEPOST_LISTEN": target,
            "MILEPOST_WORKFLOW_FILE": str(self.folder / "workflow.yaml"),
            "MILEPOST_DATA_DIR": str(self.folder),
            "MILEPOST_FAILPOINTS": failpoints,
            **self.settings,
        }
        log = self.folder / "agent.log"
        cgroup = self.limit.folder if self.limit and "exhaust" in failpoints else None
        self.pid = self.launcher.fork(AGENT, environment, log, cgroup=cgroup, recording=self.recording)
        self._handle = os.pidfd_open(self.pid)
        if not self._bound(target):
            return
        self._channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
        self._introduce()

    def _bound(self, target: str) -> bool:
        deadline = time.monotonic() + PATIENCE
        while not self._ended():
            if time.monotonic() > deadline:
                raise PointFailed(f"the agent did not bind its port in {PATIENCE:g} s")
            with socket.socket() as probe:
                if probe.connect_ex(split_address(target)) == 0:
                    return True
            time.sleep(POLL_SECONDS)
        return False

    def _introduce(self) -> None:
        """Waits until it serves, then registers the services, as they do themselves."""
        assert self._channel is not None
        health = health_pb2_grpc.HealthStub(self._channel)
        registry = registry_pb2_grpc.RegistryServiceStub(self._channel)
        deadline = time.monotonic() + PATIENCE
        while not self._ended():
            if time.monotonic() > deadline:
                raise PointFailed(f"the agent did not serve in {PATIENCE:g} s")
            try:
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
                if answer.status != health_pb2.HealthCheckResponse.SERVING:
                    time.sleep(POLL_SECONDS)
                    continue
                for service in self.services.members:
                    lease = Duration(seconds=LEASE_SECONDS)
                    request = registry_pb2.RegisterRequest(service=service.entry(), lease=lease)
                    registry.Register(request, timeout=PATIENCE)
                return
            except grpc.RpcError as error:
                self._away(error)
                if self._channel is None:
                    return

    def _away(self, error: grpc.RpcError) -> None:
        if error.code() not in AWAY:
            raise PointFailed(f"a client got {error.code().name}: {error.details()}")
        self._settle()

    def _settle(self) -> None:
        """A moment for a process that is ending to end."""
        self._wait_ended(0.02)
        self._ended()

    def _ended(self) -> bool:
        """Whether there is no process; one that has ended is buried, and what was known then is kept."""
        if not self.pid:
            return True
        if not self._wait_ended(0):
            return False
        planned = self._planned()
        self._bury(self._reap(), planned)
        return True

    def _planned(self) -> str:
        """What is armed in the process that runs now."""
        return self.plan[self.starts - 1] if self.starts <= len(self.plan) else ""

    def _bury(self, status: int, planned: str) -> None:
        if status not in allowed_statuses(planned):
            raise PointFailed(f"the agent ended with status {status} by itself; armed was {planned or 'nothing'!r}")
        if "exhaust" in planned and self.limit and not self.limit.killed():
            raise PointFailed("the agent was not killed by the kernel for its memory")
        self.deaths.append(Death(status, self.recorded(), self.services.counts(self.correlation_ids)))

    def _wait_ended(self, seconds: float) -> bool:
        return bool(select.select([self._handle], [], [], seconds)[0])

    def _reap(self) -> int:
        status = self.launcher.reap(self.pid)
        os.close(self._handle)
        self.pid, self._handle = 0, -1
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        return status


def allowed_statuses(failpoints: str) -> set[int]:
    """Exit statuses of a process that was killed, or told to stop, by one of these failpoints."""
    allowed = set()
    for item in failpoints.split(";"):
        name, _, action = item.partition("=")
        if action.startswith(("kill", "exhaust")):
            allowed.add(-signal.SIGKILL)
        if action.startswith("term"):
            # Before it has bound its port, nothing is there to be handed over.
            allowed.add(-signal.SIGTERM if name in OPENING_FAILPOINTS else 0)
    return allowed
