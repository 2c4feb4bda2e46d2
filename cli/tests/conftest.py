"""The real `milepost` command, and a state directory that a fake agent seems to be up on."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_fake_agent import FakeAgent, review_loop_events
from cli_fake_cluster import NAMESPACE, PODS, FakeApi, FakeDialer, condition
from cli_process import LIMIT, Milepost, command

from milepost_cli.cluster.backend import ClusterBackend
from milepost_cli.state import ProcessRecord, StateDirectory, UpRecord


@pytest.fixture
def milepost(tmp_path: Path) -> Milepost:
    """Runs `milepost ARGUMENTS` in an empty folder; returns what it wrote and its exit code."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()

    def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "COLUMNS": "200"}
        settings: dict[str, Any] = {"cwd": folder, "env": env, "capture_output": True, "text": True, "timeout": LIMIT}
        return subprocess.run(command(*arguments), check=False, **{**settings, **options})

    return run


@pytest.fixture
def fake_agent() -> Iterator[FakeAgent]:
    agent = FakeAgent(review_loop_events())
    agent.start()
    yield agent
    agent.go_on.set()
    agent.stop()


@pytest.fixture
def state(tmp_path: Path, fake_agent: FakeAgent) -> Iterator[StateDirectory]:
    """A state directory that this test owns, as a supervisor would, with the fake agent in its record."""
    directory = StateDirectory(tmp_path / "state")
    processes = {"docs": ProcessRecord("rag", "127.0.0.1:1", "ready", "docs.log", 1, restarts=3)}
    record = UpRecord(
        os.getpid(), time.time(), "ready", {"review-loop": fake_agent.target}, {"docs": "127.0.0.1:1"}, processes
    )
    with directory.owned():
        directory.write(record)
        yield directory


@pytest.fixture
def agents() -> Iterator[dict[str, FakeAgent]]:
    started = {pod: FakeAgent(review_loop_events()) for pod in PODS}
    for agent in started.values():
        agent.start()
    yield started
    for agent in started.values():
        agent.stop()


@pytest.fixture
def cluster(agents: dict[str, FakeAgent]) -> Iterator[ClusterBackend]:
    api = FakeApi()
    api.workflow(replicas=2, conditions=[condition("Ready", "True", "Serving")])
    for pod in PODS:
        api.pod(pod, "review-loop")
    with ClusterBackend(api, FakeDialer(agents), NAMESPACE, f" -n {NAMESPACE}") as backend:
        yield backend
