"""The agent is killed with SIGKILL; the run goes on by itself, and the services count that nothing is repeated."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from milepost.agent.v1 import agent_pb2
from processes import AgentClient, Process, agent_process, list_calls, running, scripted_process

ARBITRATOR = {"modelRef": {"name": "worker"}}
STEPS = [
    {"name": "research", "role": "researcher", "capability": "rag"},
    {"name": "code", "role": "coder", "capability": "coding"},
    {"name": "review", "role": "reviewer", "capability": "review"},
]
CYCLIC: dict[str, Any] = {
    "pattern": "cyclic",
    "steps": STEPS,
    "cycle": {"from": "review", "to": "code"},
    "arbitrator": ARBITRATOR,
}
INVOKE = "/milepost.capability.v1.CapabilityService/Invoke"


def assert_nothing_repeated(target: str, invokes: int) -> None:
    calls = list_calls(target)
    assert [call for call in calls if call.completed > 1] == []
    assert sum(call.completed for call in calls if call.method == INVOKE) == invokes


def cluster(directory: Path, seconds: float) -> tuple[Process, Process]:
    agent = agent_process(directory, CYCLIC)
    worker = scripted_process(directory, "worker", "rag,coding,review", agent.target, seconds, rejections=1)
    return agent, worker


@pytest.mark.requirement("DUR-3", "AGT-1", "REG-1")
@pytest.mark.parametrize("step", ["research", "code", "review"])
def test_agent_killed_while_a_step_runs_goes_on_from_the_last_completed_step(tmp_path: Path, step: str) -> None:
    agent, worker = cluster(tmp_path, seconds=0.4)
    with running(agent, worker):
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        run = client.start_run("Write a function that reverses a string")
        started = client.wait_event(run.run_id, "StepStarted", step)
        agent.kill()
        agent.start()
        agent.wait_serving()
        ended = client.wait_ended(run.run_id)
        events = list(client.events(run.run_id))
        assert ended.outcome == agent_pb2.RUN_OUTCOME_COMPLETED
        assert ended.recoveries == 1
        resumed = [event for event in events if event.type == "RunResumed"]
        assert [(event.data["step"], event.data["cause"]) for event in resumed] == [(step, "crash")]
        assert resumed[0].sequence > started.sequence
        assert [hop.step for hop in ended.hops] == ["research", "code", "review", "code", "review"]
        assert_nothing_repeated(worker.target, invokes=5)
        client.close()


@pytest.mark.requirement("DUR-2", "DUR-3", "AGT-1")
@pytest.mark.parametrize(
    "failpoint",
    [
        "store.run_accepted=kill",
        "run.accepted=kill",
        "effect.before_call=kill@2",
        "effect.after_call=kill@2",
        "ledger.recorded=kill@2",
        "step.completed=kill@2",
        "checkpoint.writes_stored=kill@5",
        "checkpoint.stored=kill@6",
        "store.before_commit=kill@9",
        "store.after_commit=kill@9",
    ],
)
def test_kill_at_a_failpoint_loses_no_run_and_repeats_no_recorded_call(tmp_path: Path, failpoint: str) -> None:
    agent, worker = cluster(tmp_path, seconds=0.0)
    with running(worker):
        agent.start(MILEPOST_FAILPOINTS=failpoint)
        agent.wait_serving()
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        key = "6a9b1f6e-2a51-4d3f-9a55-000000000001"
        call = client.agent.StartRun.future(agent_pb2.StartRunRequest(prompt="go", correlation_id=key), timeout=60)
        agent.wait_killed()
        call.exception()
        recorded = recorded_calls(tmp_path)
        try:
            agent.start()
            agent.wait_serving()
            again = client.start_run("go", key)
            ended = client.wait_ended(again.run_id)
        finally:
            agent.stop()
        assert ended.outcome == agent_pb2.RUN_OUTCOME_COMPLETED
        calls = list_calls(worker.target)
        asked_again = {call.call_id for call in calls if call.requested > 1}
        # Only a call that was in flight for the agent, answered but not recorded, may go out again.
        assert not asked_again & recorded
        assert len(asked_again) <= 1
        if failpoint.startswith("effect.after_call"):
            assert asked_again, "this kill is between an answer and its record"
        assert {call.completed for call in calls} == {1}, "the service answers it from its memory"
        client.close()


def recorded_calls(directory: Path) -> set[str]:
    """The call ids in the ledger of an agent that is dead, read from a copy."""
    copy = directory / "copy"
    copy.mkdir()
    for file in directory.glob("milepost.db*"):
        shutil.copy(file, copy)
    with closing(sqlite3.connect(copy / "milepost.db")) as database:
        return {str(call_id) for (call_id,) in database.execute("SELECT call_id FROM ledger")}


@pytest.mark.requirement("HOP-1", "DUR-3")
def test_run_that_kills_its_process_three_times_needs_attention_and_others_go_on(tmp_path: Path) -> None:
    agent, worker = cluster(tmp_path, seconds=0.0)
    with running(worker):
        client = AgentClient(agent.target)
        agent.start(MILEPOST_FAILPOINTS="effect.before_call=kill@2")
        agent.wait_serving()
        client.wait_ready("worker")
        run = client.start_run("poison")
        for _ in range(2):
            agent.wait_killed()
            agent.start(MILEPOST_FAILPOINTS="effect.before_call=kill")
        agent.wait_killed()
        try:
            agent.start()
            agent.wait_serving()
            ended = client.wait_ended(run.run_id)
            other = client.wait_ended(client.start_run("healthy").run_id)
        finally:
            agent.stop()
        client.close()
    assert ended.outcome == agent_pb2.RUN_OUTCOME_NEEDS_ATTENTION
    assert "died 3 times" in ended.reason
    assert other.outcome == agent_pb2.RUN_OUTCOME_COMPLETED


@pytest.mark.requirement("DUR-3", "AGT-4")
def test_clean_restart_is_no_crash(tmp_path: Path) -> None:
    agent, worker = cluster(tmp_path, seconds=1.5)
    agent.environment["MILEPOST_DRAIN_SECONDS"] = "0.1"
    with running(agent, worker):
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        run = client.start_run("go")
        client.wait_event(run.run_id, "StepStarted", "research")
        assert agent.stop() == 0
        agent.start()
        agent.wait_serving()
        event = client.wait_event(run.run_id, "RunResumed")
        client.close()
    assert event.data["cause"] == "restart"


@pytest.mark.requirement("AGT-5")
def test_run_stays_with_the_workflow_that_it_started_with(tmp_path: Path) -> None:
    agent, worker = cluster(tmp_path, seconds=0.4)
    with running(agent, worker):
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        run = client.start_run("old")
        client.wait_event(run.run_id, "StepStarted", "code")
        agent.kill()
        changed = {"pattern": "linear", "steps": [{"name": "answer", "role": "writer"}], "arbitrator": ARBITRATOR}
        agent_process(tmp_path, changed)
        agent.start()
        agent.wait_serving()
        old = client.wait_ended(run.run_id)
        new = client.wait_ended(client.start_run("new").run_id)
        client.close()
    assert [hop.step for hop in old.hops] == ["research", "code", "review", "code", "review"]
    assert [hop.step for hop in new.hops] == ["answer"]
    assert old.workflow_digest != new.workflow_digest
