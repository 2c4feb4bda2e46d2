"""The supervisor over real gRPC processes: restarts what dies, says what it cannot start, leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from cli_process import LIMIT, Milepost
from cli_supervised import Up, is_ready, supervisor_of, until
from grpc_health.v1 import health_pb2, health_pb2_grpc

from milepost_cli.ports import free_port
from milepost_cli.state import StateDirectory, UpRecord

HEALTH_PROCESS = Path(__file__).with_name("cli_health_process.py")


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


@pytest.fixture
def up(tmp_path: Path, directory: StateDirectory) -> Iterator[Up]:
    started: list[subprocess.Popen[str]] = []

    def start(processes: Sequence[dict[str, Any]]) -> subprocess.Popen[str]:
        started.append(supervisor_of(directory, tmp_path / f"plan{len(started)}.json", processes))
        return started[-1]

    yield start
    for supervisor in started:
        supervisor.kill()
        supervisor.communicate()
    record = directory.read()
    for number in pids(record) if record is not None else ():
        if _lives(number) and "cli_health_process.py" in " ".join(psutil.Process(number).cmdline()):
            psutil.Process(number).kill()


def process(name: str, *arguments: str, role: str = "model") -> dict[str, Any]:
    return {"name": name, "role": role, "target": f"127.0.0.1:{free_port(())}", "arguments": arguments}


def agent_and(*others: dict[str, Any]) -> list[dict[str, Any]]:
    return [*others, process("agent", "--knows", *(other["name"] for other in others), role="agent")]


def pids(record: UpRecord) -> list[int]:
    return [child.pid for child in record.processes.values() if child.pid is not None]


def are_gone(numbers: Sequence[int]) -> bool:
    """Whether none of the processes lives; a zombie that nobody has collected does not."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if not any(_lives(number) for number in numbers):
            return True
        time.sleep(0.02)
    return False


def _lives(number: int) -> bool:
    try:
        return bool(psutil.Process(number).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.requirement("CLI-1")
def test_process_that_is_killed_is_started_again_at_its_port(up: Up, directory: StateDirectory) -> None:
    supervisor = up(agent_and(process("model")))
    before = until(directory, is_ready)
    killed = before.processes["model"]
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    after = until(directory, lambda record: is_ready(record) and record.processes["model"].restarts == 1)
    assert after.processes["model"].pid != killed.pid
    assert after.processes["model"].target == killed.target
    assert after.processes["agent"] == before.processes["agent"]
    supervisor.send_signal(signal.SIGINT)
    told, errors = supervisor.communicate(timeout=LIMIT)
    assert supervisor.returncode == 0, errors
    assert "model died (signal SIGKILL), starting it again in 0.2 s" in told
    assert "model (model) is again ready" in told


@pytest.mark.requirement("CLI-1")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_everything_cleanly(up: Up, directory: StateDirectory, number: signal.Signals) -> None:
    supervisor = up(agent_and(process("model")))
    record = until(directory, is_ready)
    supervisor.send_signal(number)
    _, errors = supervisor.communicate(timeout=LIMIT)
    assert (supervisor.returncode, errors) == (0, "")
    assert are_gone(pids(record))
    assert [(directory.logs / f"{name}.log").read_text() for name in ("model", "agent")] == ["stopped cleanly\n"] * 2
    assert not directory.record_file.exists()
    assert not directory.is_owned()


@pytest.mark.requirement("CLI-1")
def test_no_orphan_is_left_when_the_supervisor_is_killed(up: Up, directory: StateDirectory) -> None:
    supervisor = up(agent_and(process("model"), process("deaf", "--deaf")))
    record = until(directory, is_ready)
    supervisor.kill()
    supervisor.communicate(timeout=LIMIT)
    assert len(pids(record)) == 3
    assert are_gone(pids(record))
    assert not directory.is_owned()


def test_process_that_does_not_stop_is_killed_after_the_grace(up: Up, directory: StateDirectory) -> None:
    supervisor = up(agent_and(process("deaf", "--deaf")))
    record = until(directory, is_ready)
    supervisor.terminate()
    assert supervisor.wait(LIMIT) == 0
    assert are_gone(pids(record))


def test_second_ctrl_c_kills_at_once(up: Up, directory: StateDirectory) -> None:
    supervisor = up(agent_and(process("deaf", "--deaf")))
    record = until(directory, is_ready)
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.stdout is not None
    assert any("stopping" in line for line in supervisor.stdout)
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(LIMIT) == 0
    assert are_gone(pids(record))


@pytest.mark.requirement("CLI-1")
def test_wrongly_configured_process_ends_up_with_its_own_line(up: Up, directory: StateDirectory) -> None:
    line = "model: MILEPOST_THREADS: 0 is too few; allowed: 1 or more"
    supervisor = up(agent_and(process("model", "--exit", "2", "--words", line)))
    _, errors = supervisor.communicate(timeout=LIMIT)
    assert supervisor.returncode == 2
    assert errors == f"milepost: {line} (log: {directory.logs / 'model.log'})\n"
    assert not directory.is_owned()


def test_process_that_never_gets_ready_ends_up_after_five_deaths(
    up: Up, directory: StateDirectory, tmp_path: Path
) -> None:
    count = tmp_path / "starts"
    supervisor = up(agent_and(process("model", "--exit", "7", "--words", "out of luck", "--count", str(count))))
    told, errors = supervisor.communicate(timeout=LIMIT)
    assert supervisor.returncode == 2
    assert "model: died 5 times before it was ready (exit code 7); it said last: out of luck" in errors
    assert len(errors.splitlines()) == 1
    assert len(count.read_text().splitlines()) == 5
    assert [f"in {delay} s" in told for delay in (0.2, 0.4, 0.8, 1.6)] == [True] * 4


def test_process_that_fails_at_first_is_tried_until_it_is_ready(
    up: Up, directory: StateDirectory, tmp_path: Path
) -> None:
    up(agent_and(process("model", "--die-first", "2", "--count", str(tmp_path / "starts"))))
    record = until(directory, is_ready)
    assert record.processes["model"].restarts == 2


def test_process_that_becomes_misconfigured_later_is_left_alone_and_the_rest_stays_up(
    up: Up, directory: StateDirectory, tmp_path: Path
) -> None:
    flag = tmp_path / "broken"
    supervisor = up(agent_and(process("model", "--exit-if", str(flag), "--words", "model: broken file")))
    before = until(directory, is_ready)
    flag.touch()
    assert before.processes["model"].pid is not None
    os.kill(before.processes["model"].pid, signal.SIGKILL)
    after = until(directory, lambda record: record.processes["model"].state == "failed")
    assert after.processes["agent"].state == "ready"
    supervisor.terminate()
    told, _ = supervisor.communicate(timeout=LIMIT)
    assert "model is not started again: broken file" in told


@pytest.mark.requirement("CLI-1")
def test_second_up_on_the_same_state_is_refused_and_harms_nothing(up: Up, directory: StateDirectory) -> None:
    up(agent_and(process("model")))
    before = until(directory, is_ready)
    second = up(agent_and(process("model")))
    _, errors = second.communicate(timeout=LIMIT)
    assert second.returncode == 2
    assert len(errors.splitlines()) == 1
    assert f"another `milepost up` (pid {before.pid}) runs on this state" in errors
    assert directory.running() == before


@pytest.mark.requirement("CLI-1")
def test_down_stops_the_supervisor_and_keeps_the_state(up: Up, directory: StateDirectory, milepost: Milepost) -> None:
    supervisor = up(agent_and(process("model")))
    record = until(directory, is_ready)
    kept = directory.path / "kept"
    kept.write_text("runs")
    done = milepost("down", "--state", directory.path)
    assert (done.returncode, done.stdout) == (0, f"stopped; the state is kept in {directory.path}\n")
    assert supervisor.wait(LIMIT) == 0
    assert are_gone(pids(record))
    assert kept.read_text() == "runs"


@pytest.mark.requirement("CLI-1")
def test_down_with_nothing_up_says_so_and_signals_nobody(directory: StateDirectory, milepost: Milepost) -> None:
    with directory.owned():
        directory.write(UpRecord(os.getpid(), time.time(), "ready"))
    done = milepost("down", "--state", directory.path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"milepost: no `milepost up` runs on the state directory {directory.path}; ")
    assert len(done.stderr.splitlines()) == 1


def test_up_waits_until_the_agents_know_the_services(up: Up, directory: StateDirectory, tmp_path: Path) -> None:
    known = tmp_path / "known"
    up([process("model"), process("agent", "--knows", "model", "--knows-if", str(known), role="agent")])
    before = until(directory, lambda record: all(child.state == "ready" for child in record.processes.values()))
    assert before.state == "starting"
    known.touch()
    until(directory, is_ready)


def test_stranger_at_the_port_does_not_make_a_process_ready(up: Up, directory: StateDirectory) -> None:
    late = process("model", "--delay", "3600")
    stranger = subprocess.Popen([sys.executable, str(HEALTH_PROCESS), late["target"]])
    try:
        with grpc.insecure_channel(late["target"]) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=LIMIT)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        up([late, process("agent", role="agent")])
        record = until(directory, lambda record: record.processes["agent"].state == "ready")
        time.sleep(1)
        record = directory.read() or record
    finally:
        stranger.kill()
        stranger.wait()
    assert record.processes["model"].state == "starting"
    assert record.state == "starting"
