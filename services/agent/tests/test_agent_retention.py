"""What clients of the agent see of a run that retention removes while they look at it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from agent_harness import agent, workflow
from milepost.agent.v1 import agent_pb2
from milepost_agent.servicer import AgentServicer
from milepost_agent.settings import retention_policy
from milepost_agent.store import RetentionPolicy
from milepost_crds import Retention
from milepost_service.errors import NotFoundError
from store_zygote import fill, retention

RUN = "6a9b1f6e-2a51-4d3f-9a55-0000000000ee"


@pytest.mark.requirement("DUR-8", "AGT-1")
async def test_a_watch_of_a_run_that_is_removed_meanwhile_ends_as_not_found(tmp_path: Path) -> None:
    async with agent(tmp_path, workflow()) as harness:
        unused = cast(Any, None)
        servicer = AgentServicer(harness.runner, harness.steering, harness.store, unused, unused)
        await fill(harness.store, RUN, events=2_000)
        stream = cast(
            AsyncIterator[agent_pb2.WatchRunResponse],
            servicer.WatchRun(agent_pb2.WatchRunRequest(run_id=RUN), unused),
        )
        seen = [(await anext(stream)).event.sequence]
        await retention(harness.store).sweep()
        with pytest.raises(NotFoundError, match=f"there is no run '{RUN}'; ended runs are kept for 720h, at most 1000"):
            async for response in stream:
                seen.append(response.event.sequence)  # noqa: PERF401 - what came before the error counts
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) < 2_001


def test_the_policy_is_what_the_workflow_says() -> None:
    assert retention_policy(Retention(ended_runs=7, max_age="1h30m")) == RetentionPolicy(7, 5_400.0, 60.0)
