"""Lists over several agents: merged newest first, in pages without doubles, and never held up by one agent."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from scripted_agent import GatewayServer, ScriptedAgent

from milepost.agent.v1 import agent_pb2
from milepost.registry.v1 import registry_pb2
from milepost_gateway.agent import READ_SECONDS
from milepost_gateway.overview import ASK_SECONDS


def run(number: int, agent: str) -> agent_pb2.Run:
    found = agent_pb2.Run(run_id=f"{agent}-{number}", correlation_id=f"c-{agent}-{number}")
    found.create_time.FromSeconds(number)
    return found


def fill(agents: Sequence[ScriptedAgent], pattern: str) -> list[str]:
    """A run at each second, of the agent at the index that the pattern says; returns their ids, newest first."""
    for second, which in enumerate(pattern):
        agent = agents[int(which)]
        agent.runs.append(run(second, agent.name))
    return sorted(
        (each.run_id for agent in agents for each in agent.runs), key=lambda name: -int(name.rpartition("-")[2])
    )


async def pages(server: GatewayServer, size: int) -> list[list[str]]:
    found: list[list[str]] = []
    token = ""
    while not found or token:
        query = {"page_size": size, "page_token": token}
        page = (await server.client.get("/api/runs", params=query)).raise_for_status().json()
        found.append([each["run_id"] for each in page["runs"]])
        token = page["next_page_token"]
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("pattern", ["", "0", "01", "0101010101", "0000011111", "1111100000", "0110001110100"])
async def test_pages_hold_each_run_once_newest_first(
    agent: ScriptedAgent, second: ScriptedAgent, pattern: str, size: int
) -> None:
    """Proves the merge for every way in which the runs of two agents can lie."""
    expected = fill([agent, second], pattern)
    async with GatewayServer([agent.address, second.address]) as server:
        found = await pages(server, size)
    assert [run_id for page in found for run_id in page] == expected
    assert all(len(page) == size for page in found[:-1])


async def test_run_that_starts_while_pages_are_read_is_no_double(agent: ScriptedAgent, second: ScriptedAgent) -> None:
    """Proves that a new run shifts nothing: what was on a page does not come again."""
    expected = fill([agent, second], "01" * 10)
    async with GatewayServer([agent.address, second.address]) as server:
        first = (await server.client.get("/api/runs", params={"page_size": 5})).json()
        agent.runs.append(run(100, "flow"))
        second.runs.append(run(101, "other"))
        query = {"page_size": 100, "page_token": first["next_page_token"]}
        rest = (await server.client.get("/api/runs", params=query)).json()
    assert [each["run_id"] for each in (*first["runs"], *rest["runs"])] == expected
    assert rest["next_page_token"] == ""


async def test_agent_that_is_away_is_named_and_the_rest_is_listed(agent: ScriptedAgent, second: ScriptedAgent) -> None:
    """Proves that neither a dead nor a hung agent makes the list fail, and a hung one holds it up but once."""
    fill([agent, second], "0101")
    async with GatewayServer([agent.address, second.address]) as server:
        second.hang = True
        begun = time.monotonic()
        answers = await asyncio.gather(
            *(server.client.get(path) for path in ("/api/runs", "/api/agents", "/api/services", "/api/backups"))
        )
        together = time.monotonic() - begun
        runs, agents, _, backups = (answer.raise_for_status().json() for answer in answers)
        assert (len(runs["runs"]), runs["unreachable"]) == (2, ["other"])
        assert [each["reachable"] for each in agents["agents"]] == [True, False]
        assert agents["agents"][1]["status"] is None
        assert "did not answer in time" in agents["agents"][1]["error"]
        assert [bool(each["error"]) for each in backups["agents"]] == [True, True]
        begun = time.monotonic()
        assert (await server.client.get("/api/runs", params={"workflow": "flow"})).json()["unreachable"] == []
        assert time.monotonic() - begun < together
        second.hang = False
        await second.stop()
        runs = (await server.client.get("/api/runs")).json()
        assert (len(runs["runs"]), runs["unreachable"]) == (2, ["other"])


async def test_page_after_an_agent_came_back_goes_on_with_it(agent: ScriptedAgent, second: ScriptedAgent) -> None:
    """Proves that the runs of an agent which was away for a page come on a later one, each once."""
    fill([agent, second], "01" * 5)
    async with GatewayServer([agent.address, second.address]) as server:
        await second.stop()
        first = (await server.client.get("/api/runs", params={"page_size": 3})).json()
        await second.start()
        while not server.gateway.fleet.feeds[1].connected:
            await asyncio.sleep(0.01)
        token, found = first["next_page_token"], [each["run_id"] for each in first["runs"]]
        while token:
            query = {"page_size": 3, "page_token": token}
            page = (await server.client.get("/api/runs", params=query)).json()
            found += [each["run_id"] for each in page["runs"]]
            token = page["next_page_token"]
    assert sorted(found) == sorted({each.run_id for one in (agent, second) for each in one.runs})


@pytest.mark.parametrize("token", ["x", "e30x", "bm90IGpzb24", "WzFd", "eyJmbG93IjoxfQ", "A" * 60_000])
async def test_page_token_that_was_not_given_out_is_refused(server: GatewayServer, token: str) -> None:
    """Proves 400 and one line for tokens that are no tokens."""
    refused = await server.client.get("/api/runs", params={"page_token": token})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == "page_token: is not one that was given out here"


async def test_filters_are_passed_on_to_the_agents(server: GatewayServer, agent: ScriptedAgent) -> None:
    """Proves that words become what the contracts call them."""
    query = {"state": "ended", "outcome": "ReviewLimitReached", "q": "hand & book", "workflow": "flow"}
    assert (await server.client.get("/api/runs", params=query)).status_code == 200
    [asked] = agent.calls
    assert asked.state == agent_pb2.RUN_STATE_ENDED
    assert asked.outcome == agent_pb2.RUN_OUTCOME_REVIEW_LIMIT_REACHED
    assert asked.query == "hand & book"
    assert (await server.client.get("/api/runs", params={"workflow": "nobody"})).json()["runs"] == []
    for state in ("accepted", "running", "waiting", "paused"):
        assert (await server.client.get("/api/runs", params={"state": state})).status_code == 200


async def test_run_is_found_wherever_it_is(agent: ScriptedAgent, second: ScriptedAgent) -> None:
    """Proves that 404 is only said when every agent said so, and 503 when one that is away may have it."""
    fill([agent, second], "01")
    async with GatewayServer([agent.address, second.address]) as server:
        assert (await server.client.get("/api/runs/other-1")).json()["agent"] == "other"
        assert (await server.client.get("/api/runs/nothing")).status_code == 404
        second.hang = True  # who is found elsewhere is not waited for
        assert (await server.client.get("/api/runs/c-flow-0", timeout=READ_SECONDS / 2)).json()["agent"] == "flow"
        second.hang = False
        await second.stop()
        away = await server.client.get("/api/runs/nothing")
        assert (away.status_code, away.headers["retry-after"]) == (503, "1")
        assert "agent other is not available now" in away.json()["error"]["message"]
        assert (await server.client.get("/api/runs/flow-0")).status_code == 200


async def test_bulk_cancel_tells_of_each_run(agent: ScriptedAgent, second: ScriptedAgent) -> None:
    """Proves that runs of several agents are cancelled in one request, once each, and failures are told one by one."""
    fill([agent, second], "0101")
    wanted = ["flow-0", "other-1", "flow-2", "nothing", "flow-0"]
    body = {"run_ids": wanted, "reason": "enough", "request_id": "7b0a4a5e-62a8-4e0c-8d3a-1b8a6c1b0f10"}
    async with GatewayServer([agent.address, second.address]) as server:
        results = (await server.client.post("/api/runs/cancel", json=body)).json()["results"]
        again = (await server.client.post("/api/runs/cancel", json=body)).json()["results"]
        none = await server.client.post("/api/runs/cancel", json={"run_ids": []})
    assert [(each["run_id"], each["ok"]) for each in results] == [
        ("flow-0", True),
        ("other-1", True),
        ("flow-2", True),
        ("nothing", False),
    ]
    assert results == again
    assert [call.run_id for call in second.calls] == ["other-1", "other-1"]
    ids = [call.request_id for call in (*agent.calls, *second.calls)]
    assert len(set(ids)) == 3  # of three runs, the same when asked again
    assert none.status_code == 400


async def test_change_waits_for_an_agent_that_is_being_started_again(
    server: GatewayServer, agent: ScriptedAgent
) -> None:
    """Proves that a run started in the second in which the agent is away is started once, not refused."""
    await agent.stop()
    starting = asyncio.create_task(server.client.post("/api/runs", json={"workflow": "flow", "prompt": "now"}))
    await asyncio.sleep(0.3)
    await agent.start()
    answer = await starting
    assert (answer.status_code, answer.json()["existing"]) == (200, False)
    assert [each.prompt for each in agent.runs] == ["now"]


async def test_service_that_two_agents_know_is_listed_once(agent: ScriptedAgent, second: ScriptedAgent) -> None:
    """Proves that a service comes with its agents, and as the one sees it that can use it."""
    gone, ready = registry_pb2.SERVICE_STATE_GONE, registry_pb2.SERVICE_STATE_READY
    agent.services = [registry_pb2.Service(name="docs", state=gone), registry_pb2.Service(name="alone", state=ready)]
    second.services = [registry_pb2.Service(name="docs", state=ready)]
    async with GatewayServer([agent.address, second.address]) as server:
        services = (await server.client.get("/api/services")).json()["services"]
    assert [(each["name"], each["state"], each["agents"]) for each in services] == [
        ("alone", "ready", ["flow"]),
        ("docs", "ready", ["flow", "other"]),
    ]


@pytest.mark.requirement("OBS-4")
async def test_correlation_id_and_trace_go_on_to_the_agent(server: GatewayServer, agent: ScriptedAgent) -> None:
    """Proves that what a caller sends reaches the agent, comes back, and is made when it is missing or strange."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Correlation-Id": "mine-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    answer = await server.client.get("/api/runs", headers=headers)
    assert answer.headers["x-correlation-id"] == "mine-1"
    [told] = [each for each in agent.metadata if each.get("milepost-correlation-id") == "mine-1"]
    assert told["traceparent"].split("-")[1] == trace
    for strange in ("a b", "x" * 129, '"', ""):
        answer = await server.client.get("/api/runs", headers={"X-Correlation-Id": strange})
        assert len(answer.headers["x-correlation-id"]) == 36


async def test_hung_agent_is_shown_as_it_was_last_seen_and_holds_nothing_up(
    agent: ScriptedAgent, second: ScriptedAgent
) -> None:
    """Proves that answers come at once, that the hung agent is marked soon, and that it is well again afterwards."""
    second.services = [registry_pb2.Service(name="docs", state=registry_pb2.SERVICE_STATE_READY)]
    async with GatewayServer([agent.address, second.address]) as server:

        async def seen() -> tuple[dict[str, Any], list[Any], float]:
            begun = time.monotonic()
            agents, services = await asyncio.gather(
                *(server.client.get(f"/api/{what}") for what in ("agents", "services"))
            )
            took = time.monotonic() - begun
            return agents.json()["agents"][1], services.json()["services"], took

        assert (await seen())[0]["reachable"]
        second.hang = True
        first, services, _ = await seen()
        assert first["reachable"]
        assert [each["name"] for each in services] == ["docs"]
        times = []
        shown = first
        while shown["reachable"]:
            shown, _, took = await seen()
            times.append(took)
            await asyncio.sleep(0.02)
        assert "did not answer in time" in shown["error"]
        assert shown["status"] == first["status"]
        assert min(times) < ASK_SECONDS / 2  # it answered without the agent
        second.hang = False
        while not shown["reachable"] or not services:
            shown, services, _ = await seen()
            await asyncio.sleep(0.02)
        assert shown["error"] == ""


@pytest.mark.requirement("UI-1")
async def test_a_workflow_that_two_namespaces_have_is_named_with_its_own(
    agent: ScriptedAgent, second: ScriptedAgent
) -> None:
    """Proves that no run is started, and none listed, in a namespace that was not meant."""
    fill([agent, second], "01")
    ours = [
        replace(agent.address, workflow="flow", namespace="a"),
        replace(second.address, workflow="flow", namespace="b"),
    ]
    async with GatewayServer(ours) as server:
        refused = await server.client.post("/api/runs", json={"workflow": "flow", "prompt": "x"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_ARGUMENT")
        assert refused.json()["error"]["message"] == (
            "workflow: 'flow' is in several namespaces; allowed: ['a/flow', 'b/flow']"
        )
        started = await server.client.post("/api/runs", json={"workflow": "b/flow", "prompt": "x"})
        assert started.json()["agent"] == second.name
        missing = await server.client.post("/api/runs", json={"workflow": "c/flow", "prompt": "x"})
        assert missing.status_code == 404
        listed = (await server.client.get("/api/runs", params={"workflow": "b/flow"})).json()["runs"]
        assert {each["agent"] for each in listed} == {second.name}
        both = (await server.client.get("/api/runs", params={"workflow": "flow"})).json()["runs"]
        assert {each["agent"] for each in both} == {agent.name, second.name}
