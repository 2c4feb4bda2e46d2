"""Backups over real processes: a damaged file costs nothing that can still be read, and a restore goes back in time."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from milepost.agent.v1 import agent_pb2, backup_pb2, backup_pb2_grpc
from milepost_cli.state import StateDirectory, UpRecord
from processes import PATIENCE, AgentClient, Process, agent_process, list_calls, running, scripted_process

WORKFLOW: dict[str, Any] = {
    "pattern": "cyclic",
    "steps": [
        {"name": "research", "role": "researcher", "capability": "rag"},
        {"name": "code", "role": "coder", "capability": "coding"},
        {"name": "review", "role": "reviewer", "capability": "review"},
    ],
    "cycle": {"from": "review", "to": "code"},
    "arbitrator": {"modelRef": {"name": "worker"}},
    "checkpoint": {"backup": {"interval": "1h", "keep": 3}},
}
HOPS = ["research", "code", "review", "code", "review"]
INVOKE = "/milepost.capability.v1.CapabilityService/Invoke"


def cluster(directory: Path) -> tuple[Process, Process]:
    agent = agent_process(directory, WORKFLOW)
    worker = scripted_process(directory, "worker", "rag,coding,review", agent.target, rejections=1)
    return agent, worker


@contextmanager
def local_mode(directory: Path, agent: Process) -> Iterator[StateDirectory]:
    """What the command line finds, as if `milepost up` had started the agent."""
    state = StateDirectory(directory / "state")
    with state.owned():
        state.write(UpRecord(os.getpid(), time.time(), "ready", {"flow": agent.target}, {}, {}))
        yield state


def milepost(state: StateDirectory, *arguments: str) -> Any:
    command = [sys.executable, "-m", "milepost_cli", *arguments, "--state", str(state.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def damage(database: Path) -> None:
    """Moves the log into the database, as anybody does who looks into it, and breaks the first bytes."""
    with closing(sqlite3.connect(database)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    with database.open("r+b") as file:
        file.write(b"\xff" * 100)


@pytest.mark.requirement("DUR-5", "DUR-3", "CLI-1")
def test_a_run_goes_on_from_a_damaged_file_and_no_completed_call_is_repeated(tmp_path: Path) -> None:
    agent, worker = cluster(tmp_path)
    with running(agent, worker), local_mode(tmp_path, agent) as state:
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        run = client.start_run("hold=coder/1/4 hold=reviewer/1/4")
        client.wait_event(run.run_id, "StepStarted", "code")
        [backup] = milepost(state, "backup", "flow", "--json")["backups"]
        client.wait_event(run.run_id, "StepStarted", "review")
        late = client.start_run("accepted after the backup, hold=researcher/1/4")
        agent.kill()
        damage(tmp_path / "milepost.db")
        agent.start()
        agent.wait_serving()
        ended, other = client.wait_ended(run.run_id), client.wait_ended(late.run_id)
        events = [event.type for event in client.events(run.run_id)]
        shown = milepost(state, "get", "run", run.run_id)
        calls = list_calls(worker.target)
        client.close()
    for each in (ended, other):
        assert each.outcome == agent_pb2.RUN_OUTCOME_COMPLETED
        assert each.restored_from == backup["backup_id"]
        assert [hop.step for hop in each.hops] == HOPS
    assert events.count("RunRestored") == 1
    assert events.index("RunRestored") < events.index("RunResumed")
    assert f"from backup {backup['backup_id']}" in shown
    assert [call for call in calls if call.completed > 1] == []
    assert sum(call.completed for call in calls if call.method == INVOKE) == 2 * len(HOPS)
    [aside] = (tmp_path / "quarantine").iterdir()
    assert (aside / "milepost.db").read_bytes().startswith(b"\xff" * 100)
    assert json.loads((aside / "README.json").read_text())["restored_from"] == backup["backup_id"]


@pytest.mark.requirement("DUR-5", "CLI-1")
def test_a_restore_goes_back_in_the_living_process_and_a_copy_from_elsewhere_too(tmp_path: Path) -> None:
    agent, worker = cluster(tmp_path)
    with running(agent, worker), local_mode(tmp_path, agent) as state:
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        first = client.start_run("hold=coder/1/2")
        client.wait_event(first.run_id, "StepStarted", "code")
        copy = tmp_path / "copy.db"
        [backup] = milepost(state, "backup", "flow", "--to", str(copy), "--json")["backups"]
        assert client.wait_ended(first.run_id).outcome == agent_pb2.RUN_OUTCOME_COMPLETED
        later = client.start_run("forgotten")
        client.wait_ended(later.run_id)
        pid = agent.popen.pid if agent.popen else 0
        told = milepost(state, "restore", "flow", backup["backup_id"], "--yes")
        assert f"flow goes on from backup {backup['backup_id']}" in told
        again = client.wait_ended(first.run_id)
        assert (again.outcome, again.restored_from) == (agent_pb2.RUN_OUTCOME_COMPLETED, backup["backup_id"])
        with pytest.raises(grpc.RpcError) as caught:
            client.get(later.run_id)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        form = milepost(state, "restore", "flow", "--from", str(copy), "--yes", "--json")
        assert form["backup"]["cause"] == "upload"
        assert form["epoch"] > 2_000_000
        assert client.wait_ended(first.run_id).restored_from == form["backup"]["backup_id"]
        assert agent.popen and (agent.popen.pid, agent.popen.poll()) == (pid, None)
        listed = milepost(state, "backup", "flow", "--list", "--json")
        assert [each["damage"] for each in listed["backups"]] == [""] * len(listed["backups"])
        client.close()
    assert len(list((tmp_path / "quarantine").iterdir())) == 2


@pytest.mark.requirement("DUR-5")
@pytest.mark.parametrize("failpoint", ["restore.planned", "restore.set_aside", "restore.replaced"])
def test_an_agent_that_is_killed_amid_a_restore_finishes_it_when_it_starts(tmp_path: Path, failpoint: str) -> None:
    agent, worker = cluster(tmp_path)
    with running(worker):
        agent.start(MILEPOST_FAILPOINTS=f"{failpoint}=kill")
        agent.wait_serving()
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        run = client.start_run("hold=coder/1/2")
        client.wait_event(run.run_id, "StepStarted", "code")
        with grpc.insecure_channel(agent.target) as channel:
            stub = backup_pb2_grpc.BackupServiceStub(channel)
            made = stub.CreateBackup(backup_pb2.CreateBackupRequest(), timeout=PATIENCE).backup
            request = backup_pb2.RestoreBackupRequest(backup_id=made.backup_id)
            with pytest.raises(grpc.RpcError):
                stub.RestoreBackup(request, timeout=PATIENCE)
        agent.wait_killed()
        try:
            agent.start()
            agent.wait_serving()
            ended = client.wait_ended(run.run_id)
        finally:
            agent.stop()
        client.close()
    assert (ended.outcome, ended.restored_from) == (agent_pb2.RUN_OUTCOME_COMPLETED, made.backup_id)
    assert len(list((tmp_path / "quarantine").iterdir())) == 1
    assert not (tmp_path / "milepost.db.restore").exists()
