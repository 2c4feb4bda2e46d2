"""An agent's pod is killed at every step of a cyclic run, in three ways; the services testify that nothing repeats."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from e2e_agent import AgentClient, ServiceClient, assert_nothing_repeated, in_flight, outcome
from e2e_chaos import Chaos
from e2e_manifests import HOPS, STEPS, model, workflow
from e2e_story import Story
from e2e_waiting import eventually
from milepost.agent.v1 import agent_pb2

HELD_SECONDS = 12
WALKED = ["research", "code", "review", "code", "review"]
STEP_OF = {step["role"]: step["name"] for step in STEPS}
Kill = Callable[[Story, str], None]


@dataclass(frozen=True)
class Case:
    """One workflow whose agent is killed while its `place`-th call of `role` is held by the service."""

    workflow: str
    role: str
    place: int

    @property
    def step(self) -> str:
        return STEP_OF[self.role]

    @property
    def hop(self) -> int:
        return HOPS.index((self.role, self.place)) + 1


CASES = [Case(f"flow-{number}", role, place) for number, (role, place) in enumerate(HOPS, 1)]


@pytest.fixture(scope="module")
def field(make_story: Callable[[str], Story]) -> Story:
    """Five workflows, one for each hop of a run, so that the five kills happen at the same time."""
    story = make_story("kills")
    story.scripted()
    story.apply(model(), *(workflow(case.workflow) for case in CASES))
    story.wait_ready(*(("AgentWorkflow", case.workflow) for case in CASES))
    return story


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "DUR-3")
def test_sigkill(field: Story, chaos: Chaos) -> None:
    """SIGKILL in the agent's container at each of the five hops: the run goes on by itself, nothing is repeated."""
    every_hop(field, lambda story, pod: chaos.sigkill(story.get("Pod", pod)))


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "DUR-3", "AGT-4")
def test_pod_deleted(field: Story) -> None:
    """The agent's pod deleted at each of the five hops: its successor finishes the run, nothing is repeated."""
    every_hop(field, lambda story, pod: story.delete("Pod", pod))


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "DUR-3")
def test_pod_force_deleted(field: Story) -> None:
    """The agent's pod deleted by force at each of the five hops: its successor ends the run, nothing is repeated."""
    every_hop(field, lambda story, pod: story.delete("Pod", pod, grace=0))


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "DUR-3", "AGT-4")
def test_pod_evicted(field: Story) -> None:
    """The agent's pod evicted, as by a node that is drained, at each of the five hops: nothing is lost or repeated."""
    every_hop(field, lambda story, pod: story.cluster.evict(pod, story.namespace))


def every_hop(story: Story, kill: Kill) -> None:
    worker = story.service()
    agents = {case: story.agent(case.workflow) for case in CASES}
    for agent in agents.values():
        agent.wait_ready_services({"worker"})
    with ThreadPoolExecutor(len(CASES)) as pool:
        for outcome_of_case in [pool.submit(one_kill, story, agents[case], worker, case, kill) for case in CASES]:
            outcome_of_case.result()


def one_kill(story: Story, agent: AgentClient, worker: ServiceClient, case: Case, kill: Kill) -> None:
    run = agent.start_run(f"Write a function. hold={case.role}/{case.place}/{HELD_SECONDS}")
    agent.wait_event(run.run_id, "StepStarted", step=case.step, hop=case.hop)
    before = eventually(
        f"the service works on hop {case.hop}",
        lambda: worker.invocations(run.correlation_id),
        lambda calls: len(calls) == case.hop and len(in_flight(calls)) == 1,
        within=HELD_SECONDS,
    )
    kill(story, agent.pod)
    ended = agent.wait_ended(run.run_id)
    told = f"{case}: {agent.history(run.run_id)}"
    assert outcome(ended) == "COMPLETED", told
    assert [hop.step for hop in ended.hops] == WALKED, told
    assert_resumed(agent, ended, case)
    after = worker.invocations(run.correlation_id)
    assert len(after) == len(WALKED), (after, told)
    assert_nothing_repeated(before, after, told)


def assert_resumed(agent: AgentClient, run: agent_pb2.Run, case: Case) -> None:
    """Once, and from the step that was killed or, if that could still be finished, from the one behind it."""
    resumed = [event for event in agent.events(run.run_id) if event.type == "RunResumed"]
    assert len(resumed) == run.recoveries == 1, [event.data for event in resumed]
    following = [*WALKED[case.hop :], ""][0]
    assert resumed[0].data["step"] in {case.step, following}
