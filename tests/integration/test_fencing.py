"""Two real agents over one file, as when a lock is not seen: the later one goes on, the earlier one is stopped."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from milepost.agent.v1 import agent_pb2
from milepost_service.server import MUST_END
from processes import PATIENCE, AgentClient, Process, agent_process, list_calls, running, scripted_process

FLOW: dict[str, Any] = {
    "pattern": "linear",
    "steps": [
        {"name": "code", "role": "coder", "capability": "coding"},
        {"name": "review", "role": "reviewer", "capability": "review"},
    ],
    "arbitrator": {"modelRef": {"name": "worker"}},
}


def is_ready(agent: Process) -> bool:
    with grpc.insecure_channel(agent.target) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.mark.requirement("DUR-4", "DUR-3")
def test_the_earlier_of_two_owners_stops_and_the_later_one_finishes_its_run(tmp_path: Path) -> None:
    earlier = agent_process(tmp_path, FLOW)
    later = agent_process(tmp_path, FLOW)
    later.log = tmp_path / "later.log"
    both = f"{earlier.target},{later.target}"
    worker = scripted_process(tmp_path, "worker", "coding,review", both)
    with running(earlier, worker):
        first = AgentClient(earlier.target)
        first.wait_ready("worker")
        run = first.start_run("hold=coder/1/4")
        first.wait_event(run.run_id, "StepStarted", "code")
        (tmp_path / "milepost.db.lock").unlink()
        with running(later):
            second = AgentClient(later.target)
            ended = second.wait_ended(run.run_id)
            refused = False
            try:
                first.agent.StartRun(agent_pb2.StartRunRequest(prompt="another"), timeout=PATIENCE)
            except grpc.RpcError as error:
                refused = error.code() is grpc.StatusCode.UNAVAILABLE
            again = second.get(run.run_id)
            second.close()
        first.close()
        assert refused
        assert not is_ready(earlier)
        assert earlier.popen and earlier.popen.wait(PATIENCE) == MUST_END
        said = earlier.log.read_text().splitlines()
        assert said[-1] == f"milepost-agent: {tmp_path}/milepost.db: another process took over; this one must stop"
        calls = list_calls(worker.target)
    assert ended.outcome == agent_pb2.RUN_OUTCOME_COMPLETED
    assert again == ended, "the earlier owner changed nothing of the run that it had lost"
    assert [call.completed for call in calls] == [1] * len(calls)
    assert len(calls) == 2
