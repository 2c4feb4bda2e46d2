"""The gateway of local mode: beside the agents, never in their way."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import stat
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cli_process import LIMIT, Milepost
from cli_supervised import Up, is_ready, supervisor_of, until

from milepost_cli.errors import StartError
from milepost_cli.gateway import gateway_port, hindrance, make_token
from milepost_cli.ports import free_port
from milepost_cli.state import StateDirectory, UpRecord


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


@pytest.fixture
def up(tmp_path: Path, directory: StateDirectory) -> Iterator[Up]:
    started: list[subprocess.Popen[str]] = []

    def start(processes: Sequence[dict[str, Any]]) -> subprocess.Popen[str]:
        started.append(supervisor_of(directory, tmp_path / "plan.json", processes))
        return started[-1]

    yield start
    for supervisor in started:
        supervisor.terminate()
        supervisor.communicate(timeout=LIMIT)


def process(name: str, role: str, port: int | None = None) -> dict[str, Any]:
    return {"name": name, "role": role, "target": f"127.0.0.1:{port or free_port(())}", "arguments": []}


@pytest.mark.requirement("CLI-1")
def test_ui_is_there_with_up_and_comes_back_when_it_is_killed(up: Up, directory: StateDirectory) -> None:
    supervisor = up([process("flow", "agent"), process("ui", "gateway")])
    before = until(directory, is_ready)
    assert before.ui == f"http://{before.processes['gateway'].target}/"
    assert (before.workflows.keys(), before.services.keys()) == ({"flow"}, set())
    pid = before.processes["gateway"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    after = until(directory, lambda record: is_ready(record) and record.processes["gateway"].restarts == 1)
    assert after.ui == before.ui
    assert after.processes["flow"] == before.processes["flow"]
    with urllib.request.urlopen(before.ui + "api/agents", timeout=LIMIT) as answer:
        [agent] = json.load(answer)["agents"]
    assert (agent["agent"], agent["target"]) == ("flow", after.workflows["flow"])
    supervisor.terminate()
    told, errors = supervisor.communicate(timeout=LIMIT)
    assert supervisor.returncode == 0, errors
    token = directory.token_file.read_text().strip()
    assert f"UI  {before.ui}#token={token}\n" in told


def test_gateway_that_cannot_start_is_a_warning_and_everything_else_goes_on(up: Up, directory: StateDirectory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        supervisor = up([process("flow", "agent"), process("ui", "gateway", taken.getsockname()[1])])
        record = until(directory, lambda record: record.state == "ready")
    assert (record.ui, record.processes["gateway"].state) == ("", "failed")
    supervisor.terminate()
    told, _ = supervisor.communicate(timeout=LIMIT)
    assert supervisor.returncode == 0
    assert "gateway is not started again: MILEPOST_LISTEN: 127.0.0.1:" in told.replace("milepost-gateway: ", "")
    assert "UI  " not in told


def test_workflow_may_be_called_gateway(up: Up, directory: StateDirectory) -> None:
    up([process("gateway", "agent"), process("ui", "gateway")])
    record = until(directory, is_ready)
    assert record.processes["gateway"].role == "agent"
    assert record.processes["gateway-2"].role == "gateway"


@pytest.mark.requirement("SEC-1")
def test_token_is_made_once_and_only_its_owner_reads_it(directory: StateDirectory) -> None:
    directory.path.mkdir()
    before = os.umask(0)
    try:
        make_token(directory)
    finally:
        os.umask(before)
    token = directory.token_file.read_text()
    assert stat.S_IMODE(directory.token_file.stat().st_mode) == 0o600
    assert len(token.strip()) >= 32
    make_token(directory)
    assert directory.token_file.read_text() == token


def test_port_of_the_ui_is_the_one_asked_for_or_a_free_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        monkeypatch.setattr("milepost_cli.gateway.PORT", port)
        assert gateway_port(None, [port + 1]) > port + 1
        with pytest.raises(StartError, match=f"--ui-port: port {port} is in use"):
            gateway_port(port, ())
    with pytest.raises(StartError, match="--ui-port"):
        gateway_port(port, [port])  # of the first agent, which is not there yet
    assert gateway_port(port, ()) == port


def test_up_without_the_extra_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hindrance() == ""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else real(name))
    assert hindrance() == "no web UI: uvicorn is not installed; install milepost[gateway] for it, or say --no-ui"


def test_ui_command_prints_the_address_with_the_token(milepost: Milepost, state: StateDirectory) -> None:
    record = state.running()
    without = milepost("ui", "--state", state.path)
    assert (without.returncode, without.stdout) == (2, "")
    assert without.stderr.startswith(f"milepost: no web UI runs on the state directory {state.path}")
    assert without.stderr.endswith("; for a cluster say --namespace NAME\n")
    make_token(state)
    state.write(UpRecord(record.pid, record.started, "ready", ui="http://127.0.0.1:8400/"))
    done = milepost("ui", "--state", state.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"http://127.0.0.1:8400/#token={state.token_file.read_text().strip()}\n"
