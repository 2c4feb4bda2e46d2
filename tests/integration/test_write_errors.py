"""The disk fails under an agent: what was acknowledged is kept, everybody can see it, and it goes on by itself."""

import errno
import os
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from faulty_disk import FaultyDisk
from milepost.agent.v1 import agent_pb2
from milepost_service.server import LIVENESS
from milepost_service.testing import free_port
from processes import PATIENCE, AgentClient, Process, agent_process, list_calls, running, scripted_process

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
INVOKE = "/milepost.capability.v1.CapabilityService/Invoke"
FLOW: dict[str, Any] = {
    "pattern": "linear",
    "steps": [
        {"name": "research", "role": "researcher", "capability": "rag"},
        {"name": "code", "role": "coder", "capability": "coding"},
        {"name": "review", "role": "reviewer", "capability": "review"},
    ],
    "arbitrator": {"modelRef": {"name": "worker"}},
}
CLUSTER = {
    "MILEPOST_REGISTRY": "kubernetes",
    "MILEPOST_NAMESPACE": "somewhere",
    "MILEPOST_KUBERNETES_URL": "http://127.0.0.1:9",
}


class Observed:
    """One agent as a kubelet, Prometheus and a user see it."""

    def __init__(self, directory: Path, state: Path, **environment: str) -> None:
        metrics = f"127.0.0.1:{free_port()}"
        settings = {"MILEPOST_DATA_DIR": str(state), "MILEPOST_METRICS_LISTEN": metrics}
        self.process: Process = agent_process(directory, FLOW, **settings, **environment)
        self.worker = scripted_process(directory, "worker", "rag,coding,review", self.process.target, seconds=0.3)
        self._metrics = f"http://{metrics}/metrics"

    def health(self, service: str = "") -> int:
        with grpc.insecure_channel(self.process.target) as channel:
            request = health_pb2.HealthCheckRequest(service=service)
            return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=PATIENCE, wait_for_ready=True).status)

    def metric(self, name: str) -> float | None:
        """Value of a sample by its name with labels; None when there is no such sample."""
        with urllib.request.urlopen(self._metrics, timeout=PATIENCE) as answer:
            lines = answer.read().decode().splitlines()
        found = [line.rpartition(" ")[2] for line in lines if line.rpartition(" ")[0] == name]
        return float(found[0]) if found else None

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.process.log.read_text()
            time.sleep(0.05)

    def until_health(self, status: int) -> None:
        def is_told() -> bool:
            try:
                return self.health() == status
            except grpc.RpcError as error:  # the port passes from who waits for the disk to who serves
                assert error.code() == grpc.StatusCode.UNAVAILABLE
                return False

        self.until(is_told)

    def said(self) -> str:
        return self.process.log.read_text()


def refusal(call: Callable[..., Any], request: Any) -> str:
    """What an RPC that must be UNAVAILABLE says."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=PATIENCE)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    details = str(error.details())
    assert "\n" not in details
    return details


class Watch:
    """A stream of one run's events that is read in the background, as long as the agent lets it."""

    def __init__(self, client: AgentClient, run_id: str) -> None:
        self.sequences: list[int] = []
        self._stream = client.events(run_id)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for event in self._stream:
            self.sequences.append(event.sequence)

    def ended(self) -> list[int]:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.sequences


def assert_nothing_repeated(target: str, invokes: int) -> None:
    calls = list_calls(target)
    assert [call for call in calls if call.completed > 1] == []
    assert sum(call.completed for call in calls if call.method == INVOKE) == invokes


FAULTS = [
    pytest.param([("write", errno.ENOSPC, "")], "DiskFull", "database or disk is full", id="full"),
    pytest.param(
        [("write", errno.EROFS, ""), ("open", errno.EROFS, "")], "ReadOnly", "Read-only file system", id="read-only"
    ),
    pytest.param([("sync", errno.EIO, "")], "DiskError", "Input/output error", id="fsync"),
    pytest.param([("write", errno.EIO, "-wal")], "DiskError", "Input/output error", id="log"),
]


@pytest.mark.requirement("DUR-6", "DUR-3")
@pytest.mark.parametrize(("orders", "reason", "words"), FAULTS)
def test_runs_go_on_by_themselves_when_the_disk_is_back(
    tmp_path: Path, orders: list[tuple[str, int, str]], reason: str, words: str
) -> None:
    disk = FaultyDisk.make(tmp_path)
    agent = Observed(tmp_path, disk.folder, **disk.environment)
    with running(agent.process, agent.worker):
        client = AgentClient(agent.process.target)
        client.wait_ready("worker")
        assert agent.metric("milepost_store_writable") == 1
        runs = [client.start_run(f"run {number}").run_id for number in range(6)]
        watch = Watch(client, runs[0])
        client.wait_event(runs[0], "StepStarted", "code")

        disk.fail(*orders)
        agent.until_health(NOT_SERVING)
        assert agent.health(LIVENESS) == SERVING
        assert agent.metric("milepost_store_writable") == 0
        assert agent.metric(f'milepost_store_failures_total{{reason="{reason}"}}') == 1
        told = client.agent.GetAgent(agent_pb2.GetAgentRequest()).store.failure
        assert words in told and told.startswith(f"{disk.folder}/milepost.db: cannot write: ")
        assert refusal(client.agent.StartRun, agent_pb2.StartRunRequest(prompt="too late")) == told
        assert refusal(client.agent.CancelRun, agent_pb2.CancelRunRequest(run_id=runs[1])) == told
        listed = client.agent.ListRuns(agent_pb2.ListRunsRequest(), timeout=PATIENCE).runs
        assert {run.run_id for run in listed} == set(runs)
        assert client.get(runs[0]).state != agent_pb2.RUN_STATE_ENDED

        disk.heal()
        agent.until_health(SERVING)
        assert agent.metric("milepost_store_writable") == 1
        assert client.agent.GetAgent(agent_pb2.GetAgentRequest()).store.failure == ""
        ended = [client.wait_ended(run) for run in [*runs, client.start_run("afterwards").run_id]]
        events = list(client.events(runs[0]))
        assert watch.ended() == [event.sequence for event in events]
        client.close()
        assert_nothing_repeated(agent.worker.target, invokes=3 * len(ended))
        assert agent.metric('milepost_runs_ended_total{outcome="Completed"}') == len(ended)
        assert agent.metric("milepost_run_recoveries_total") == sum(run.recoveries for run in ended) > 0
    assert {run.outcome for run in ended} == {agent_pb2.RUN_OUTCOME_COMPLETED}
    assert [event.data["cause"] for event in events if event.type == "RunResumed"] == ["disk failure"]
    assert "Traceback" not in agent.said()


@pytest.mark.requirement("DUR-6", "DUR-4")
def test_a_call_in_flight_is_asked_for_again_by_the_new_epoch_and_joins_its_work(tmp_path: Path) -> None:
    disk = FaultyDisk.make(tmp_path)
    agent = Observed(tmp_path, disk.folder, **disk.environment)
    with running(agent.process, agent.worker):
        client = AgentClient(agent.process.target)
        client.wait_ready("worker")
        run = client.start_run("hold=researcher/1/8").run_id
        client.wait_event(run, "StepStarted", "research")
        disk.fail(("write", errno.ENOSPC, ""))
        refusal(client.agent.StartRun, agent_pb2.StartRunRequest(prompt="too late"))
        agent.until_health(NOT_SERVING)
        disk.heal()
        agent.until_health(SERVING)
        assert client.wait_ended(run).outcome == agent_pb2.RUN_OUTCOME_COMPLETED
        client.close()
        calls = [call for call in list_calls(agent.worker.target) if call.method == INVOKE]
    assert sorted((call.requested, call.completed) for call in calls) == [(1, 1), (1, 1), (2, 1)]
    assert "Traceback" not in agent.said()


@pytest.mark.requirement("DUR-6", "DUR-1")
def test_what_a_failed_fsync_left_in_the_page_cache_does_not_take_later_commits_with_it(tmp_path: Path) -> None:
    disk = FaultyDisk.make(tmp_path)
    agent = Observed(tmp_path, disk.folder, **disk.environment)
    agent.process.start()
    try:
        agent.process.wait_serving()
        client = AgentClient(agent.process.target)
        accepted = [client.start_run("before").run_id]
        disk.fail(("sync", errno.EIO, "-wal"))
        refusal(client.agent.StartRun, agent_pb2.StartRunRequest(prompt="in doubt"))
        agent.process.kill()
        disk.heal()
        agent.process.start()
        agent.process.wait_serving()
        accepted += [client.start_run(f"after {number}").run_id for number in range(3)]
        agent.process.kill()
        disk.cut_power()
        agent.process.environment["LD_PRELOAD"] = ""
        agent.process.start()
        agent.process.wait_serving()
        there = {run.run_id for run in client.agent.ListRuns(agent_pb2.ListRunsRequest(), timeout=PATIENCE).runs}
        client.close()
        assert set(accepted) <= there
    finally:
        agent.process.stop()


@pytest.mark.requirement("DUR-6")
def test_a_database_that_cannot_grow_holds_nothing_up_while_the_log_can(tmp_path: Path) -> None:
    disk = FaultyDisk.make(tmp_path)
    agent = Observed(tmp_path, disk.folder, **disk.environment)
    with running(agent.process, agent.worker):
        client = AgentClient(agent.process.target)
        client.wait_ready("worker")
        disk.fail(("write", errno.ENOSPC, "milepost.db"))
        runs = [client.start_run(f"run {number} " + "x" * 60_000).run_id for number in range(12)]
        assert {client.wait_ended(run).outcome for run in runs} == {agent_pb2.RUN_OUTCOME_COMPLETED}
        log, database = agent.metric("milepost_store_wal_bytes"), agent.metric("milepost_store_size_bytes")
        assert log and database and log > 4_200_000 > database, "a checkpoint was due, and could not be made"
        agent.process.kill()
        disk.heal()
        agent.process.start()
        agent.process.wait_serving()
        assert {client.get(run).outcome for run in runs} == {agent_pb2.RUN_OUTCOME_COMPLETED}
        client.close()
        assert_nothing_repeated(agent.worker.target, invokes=3 * len(runs))


@pytest.mark.requirement("DUR-6", "AGT-4")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_in_a_cluster_a_start_waits_for_its_disk_and_says_so(tmp_path: Path, number: int) -> None:
    disk = FaultyDisk.make(tmp_path)
    agent = Observed(tmp_path, disk.folder, **disk.environment, **CLUSTER)
    disk.fail(("write", number, ""), ("open", number, ""))
    with running():
        agent.process.start()
        try:
            agent.until(lambda: "waiting until the disk takes data" in agent.said())
            assert (agent.health(), agent.health(LIVENESS)) == (NOT_SERVING, SERVING)
            assert agent.metric("milepost_store_writable") == 0
            client = AgentClient(agent.process.target)
            told = client.agent.GetAgent(agent_pb2.GetAgentRequest(), timeout=PATIENCE).store.failure
            assert told == f"{disk.folder}/milepost.db: cannot be written: {os.strerror(number)}"
            assert refusal(client.agent.StartRun, agent_pb2.StartRunRequest(prompt="go")) == told
            disk.heal()
            agent.until_health(SERVING)
            assert agent.metric("milepost_store_writable") == 1
            client.start_run("go")
            client.close()
        finally:
            assert agent.process.stop() == 0
    assert agent.said().count("waiting until the disk takes data") == 1
    assert "Traceback" not in agent.said()


@pytest.mark.requirement("DUR-6")
def test_on_one_machine_a_start_on_a_full_disk_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    disk = FaultyDisk.make(tmp_path)
    agent = agent_process(tmp_path, FLOW, MILEPOST_DATA_DIR=str(disk.folder), **disk.environment)
    disk.fail(("write", errno.ENOSPC, ""))
    agent.start()
    assert agent.popen and agent.popen.wait(PATIENCE) == 2
    said = agent.log.read_text()
    assert said == f"milepost-agent: {disk.folder}/milepost.db: cannot be written: No space left on device\n"


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.requirement("DUR-6", "DUR-3")
def test_a_disk_that_is_really_full_stops_the_runs_and_room_lets_them_go_on(tmp_path: Path) -> None:
    state = tmp_path / "small"
    with small_disk(state, "8m"):
        agent = Observed(tmp_path, state)
        with running(agent.process, agent.worker):
            client = AgentClient(agent.process.target)
            client.wait_ready("worker")
            runs = [client.start_run(f"run {number} " + "x" * 20_000).run_id for number in range(4)]
            client.wait_event(runs[0], "StepStarted", "research")
            filler = state / "filler"
            with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(bytes(4096))
            agent.until_health(NOT_SERVING)
            assert agent.metric('milepost_store_failures_total{reason="DiskFull"}') == 1
            filler.unlink()
            agent.until_health(SERVING)
            ended = [client.wait_ended(run) for run in runs]
            client.close()
            assert_nothing_repeated(agent.worker.target, invokes=3 * len(runs))
    assert {run.outcome for run in ended} == {agent_pb2.RUN_OUTCOME_COMPLETED}
    assert "Traceback" not in agent.said()
