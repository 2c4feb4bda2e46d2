"""`milepost up` over the real agent, services and models: one run from command to answer, across a killed agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import LIMIT, Milepost, command

from milepost_cli.state import StateDirectory, UpRecord

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "linear"
pytestmark = pytest.mark.models


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


@pytest.fixture
def running(directory: StateDirectory) -> Iterator[subprocess.Popen[str]]:
    up = command("up", EXAMPLE, "--state", directory.path)
    with subprocess.Popen(up, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as supervisor:
        until_ready(supervisor, directory)
        yield supervisor
        supervisor.kill()


def until_ready(supervisor: subprocess.Popen[str], directory: StateDirectory) -> UpRecord:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline and supervisor.poll() is None:
        record = directory.read()
        if record is not None and record.state == "ready":
            return record
        time.sleep(0.05)
    supervisor.terminate()
    raise AssertionError(f"never was up: {supervisor.communicate()}")


@pytest.mark.requirement("CLI-1")
def test_first_run_is_answered_and_survives_a_killed_agent(
    running: subprocess.Popen[str], directory: StateDirectory, milepost: Milepost
) -> None:
    record = directory.running()
    agent = record.processes["linear"].pid
    assert agent is not None
    started = milepost("run", "linear", "What is 17 * 23?", "--json", "--state", directory.path)
    run_id = json.loads(started.stdout)["run_id"]
    os.kill(agent, signal.SIGKILL)
    watched = milepost("watch", run_id, "--json", "--state", directory.path)
    assert watched.returncode == 0, watched.stdout + watched.stderr
    objects = [json.loads(line) for line in watched.stdout.splitlines()]
    events = [each["event"] for each in objects if "event" in each]
    assert len({event["sequence"] for event in events}) == len(events)
    assert "RunResumed" in [event["type"] for event in events]
    assert objects[-1]["run"]["recoveries"] >= 1
    page = milepost("get", "run", run_id[:8], "--state", directory.path).stdout
    assert "router time over" in page
    assert "391" in page
    assert milepost("down", "--state", directory.path).returncode == 0
    assert running.wait(LIMIT) == 0
    assert (directory.path / "agents" / "linear" / "milepost.db").exists()
