"""Services come and go; the router follows without a restart."""

from __future__ import annotations

import pytest

from e2e_agent import AgentClient, outcome
from e2e_cluster import restarts
from e2e_manifests import linear, model, toolbox
from e2e_story import Story
from e2e_waiting import eventually

REGISTRY = "milepost.dev/registry"
QUESTION = "What is 17 * 23?"


def recommended(agent: AgentClient) -> set[str]:
    """Services that the router named for a new run, which ends well."""
    run = agent.wait_ended(agent.start_run(QUESTION).run_id)
    assert outcome(run) == "COMPLETED", agent.history(run.run_id)
    return {scored.service for scored in run.hops[0].recommendation.services}


def registered(story: Story) -> set[str]:
    """Names of the Services that the registry's label selects."""
    found = story.cluster.objects("Service", story.namespace, f"{REGISTRY}=true,capability.milepost.dev/tools=true")
    return {each["metadata"]["name"] for each in found}


@pytest.mark.cluster
@pytest.mark.requirement("PKG-3", "REG-1", "RTR-2", "OPR-3")
def test_services_come_and_go(story: Story) -> None:
    """A ModelService scaled to zero leaves the recommendations and comes back; a new one is used without a restart."""
    story.apply(model(), toolbox("first"), toolbox("second"), linear(capability="tools"))
    story.wait_ready(("ModelService", "first"), ("ModelService", "second"), ("AgentWorkflow", "flow"))
    agent = story.agent()
    agent.wait_ready_services({"first", "second"})
    before = restarts(story.pods("flow"))
    assert registered(story) == recommended(agent) == {"first", "second"}

    story.cluster.scale("ModelService", "second", story.namespace, 0)
    eventually("second left", lambda: registered(story), lambda seen: seen == {"first"}, within=30)
    eventually("the agent knows", agent.ready_services, lambda seen: "second" not in seen, within=15)
    assert recommended(agent) == {"first"}

    story.cluster.scale("ModelService", "second", story.namespace, 1)
    agent.wait_ready_services({"first", "second"}, within=90)
    assert recommended(agent) == {"first", "second"}

    story.apply(toolbox("third"))
    agent.wait_ready_services({"third"}, within=90)
    assert recommended(agent) == {"first", "second", "third"}
    for name in ("first", "second"):
        story.cluster.scale("ModelService", name, story.namespace, 0)
    eventually("only third is left", lambda: agent.ready_services() & {"first", "second"}, lambda x: not x, within=30)
    run = agent.wait_ended(agent.start_run(QUESTION).run_id)
    assert [hop.service for hop in run.hops] == ["third"]
    assert restarts(story.pods("flow")) == before
