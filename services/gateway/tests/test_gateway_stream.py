"""The stream of events: each once and in order, whatever is cut off; and a client that cannot keep up is told."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest
from scripted_agent import PATIENCE, GatewayServer, ScriptedAgent, Sent, next_of, stream

from milepost_gateway import subscription


def sequence(event: Sent) -> int:
    return int(json.loads(event.data)["event"]["sequence"])


async def until_sequence(events: AsyncIterator[Sent], last: int) -> list[int]:
    """The numbers of journal events up to `last`; fails at a resync."""
    seen: list[int] = []
    while not seen or seen[-1] < last:
        event = await next_of(events, "journal", "resync")
        assert event.event == "journal", event
        seen.append(sequence(event))
    return seen


@pytest.mark.requirement("AGT-1")
@pytest.mark.timeout(300)
async def test_ten_thousand_events_of_two_agents_come_once_each_over_random_cuts(
    agent: ScriptedAgent, second: ScriptedAgent
) -> None:
    """Proves no gap and no double at any seam: journal to memory, cut to cut, gateway to gateway."""
    chance = random.Random(6)
    await agent.happen(1000)
    await second.happen(300)
    addresses = [agent.address, second.address]

    async def work() -> None:
        while agent.events[-1].sequence < 6000 or second.events[-1].sequence < 4000:
            await chance.choice([agent, second]).happen(chance.randint(1, 80))
            await asyncio.sleep(chance.choice([0, 0, 0.005]))

    seen: dict[str, list[int]] = defaultdict(list)
    cursor, cuts, port = "flow=0;other=0", 0, 0
    working = asyncio.create_task(work())
    while not working.done() or any(
        not seen[one.name] or seen[one.name][-1] < one.events[-1].sequence for one in (agent, second)
    ):
        async with GatewayServer(addresses, port) as server:
            port = server.port
            for _ in range(chance.randint(1, 4)):
                async with stream(server, cursor) as events:
                    for _ in range(chance.randint(1, 1500)):
                        try:
                            event = await asyncio.wait_for(next_of(events, "journal", "resync"), 2)
                        except TimeoutError:
                            break
                        assert event.event == "journal", event
                        cursor = event.id
                        seen[json.loads(event.data)["agent"]].append(sequence(event))
                cuts += 1
    await working
    for one in (agent, second):
        assert seen[one.name] == [event.sequence for event in one.events]
    assert sum(map(len, seen.values())) >= 10_000
    assert cuts > 5


async def test_stream_begins_with_the_newest_event(server: GatewayServer, agent: ScriptedAgent) -> None:
    """Proves that hello tells the cursor from which the stream goes on, and nothing before it is sent."""
    await agent.happen(3)
    while server.gateway.fleet.feeds[0].journal.last != 3:
        await asyncio.sleep(0.01)
    async with stream(server) as events:
        hello = await next_of(events, "hello")
        await agent.happen(1)
        first = await next_of(events, "journal")
    assert (hello.id, json.loads(hello.data)["cursor"]) == ("flow=3", "flow=3")
    assert (first.id, sequence(first)) == ("flow=4", 4)


async def test_one_call_upstream_serves_all_clients(server: GatewayServer, agent: ScriptedAgent) -> None:
    """Proves the fan-out: three browsers, one WatchRun."""
    async with stream(server) as one, stream(server) as two, stream(server) as three:
        for events in (one, two, three):
            await next_of(events, "hello")
        await agent.happen(5)
        for events in (one, two, three):
            assert await until_sequence(events, 5) == [1, 2, 3, 4, 5]
    assert agent.watches == [0]


async def test_client_that_does_not_read_is_told_to_look_anew(server: GatewayServer, agent: ScriptedAgent) -> None:
    """Proves the bound: what is kept for a slow client is limited, and it hears of what it missed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=4096)
    writer.write(b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"event: hello")
    for _ in range(12):
        await agent.happen(1000, output="x" * 64 * 1024)
        if server.gateway.fleet.feeds[0].journal.floor > 1000:
            break
        while (server.gateway.fleet.feeds[0].journal.last or 0) < agent.events[-1].sequence:
            await asyncio.sleep(0.01)
    await agent.happen(1, output="the newest")
    async with asyncio.timeout(PATIENCE):
        told = b""
        while b"the newest" not in told:
            told = told[-70_000:] + await reader.read(1024 * 1024)
            if b"event: resync" in told:
                resync = told[told.index(b"event: resync") :]
    writer.close()
    await writer.wait_closed()
    assert b"too slow for the events of agent flow" in resync
    assert server.gateway.metrics.text().count(b"milepost_gateway_resyncs_total 1.0") == 1


async def test_agent_that_is_killed_and_comes_back_leaves_no_gap(server: GatewayServer, agent: ScriptedAgent) -> None:
    """Proves that the page sees the agent go and return, and then every event since."""
    async with stream(server) as events:
        await next_of(events, "hello")
        assert json.loads((await next_of(events, "agents")).data)["agents"][0]["reachable"]
        await agent.happen(2)
        assert await until_sequence(events, 2) == [1, 2]
        await agent.stop()
        while json.loads((await next_of(events, "agents")).data)["agents"][0]["reachable"]:
            pass
        await agent.happen(3)
        await agent.start()
        seen, reachable = [], False
        while len(seen) < 3 or not reachable:  # either may come first
            event = await next_of(events, "journal", "agents", "resync")
            assert event.event != "resync"
            if event.event == "journal":
                seen.append(sequence(event))
            else:
                reachable = json.loads(event.data)["agents"][0]["reachable"]
        assert seen == [3, 4, 5]


async def test_journal_that_was_put_back_makes_clients_look_anew(server: GatewayServer, agent: ScriptedAgent) -> None:
    """Proves that a cursor from before an emptied journal does not wait for numbers that never come."""
    await agent.happen(500)
    async with stream(server, "flow=490") as events:
        assert (await until_sequence(events, 500))[0] == 491
        await agent.stop()
        agent.events.clear()
        await agent.happen(3)
        await agent.start()
        resync = await next_of(events, "resync")
        assert resync.id == "flow=3"
        await agent.happen(1)
        assert await until_sequence(events, 4) == [4]
    async with stream(server, "flow=490") as events:
        assert (await next_of(events, "resync", "journal")).event == "resync"
        await agent.happen(1)
        assert await until_sequence(events, 5) == [5]


async def test_restored_agent_makes_clients_look_anew_and_go_on(server: GatewayServer, agent: ScriptedAgent) -> None:
    """Proves that the jump of a million after a restore is told, live and to who was cut off."""
    await agent.happen(10)
    async with stream(server, "flow=8") as events:
        assert await until_sequence(events, 10) == [9, 10]
        await agent.happen(2, jump=1_000_000)
        assert (await next_of(events, "resync", "journal")).id == "flow=1000010"
        assert await until_sequence(events, 1_000_012) == [1_000_011, 1_000_012]
    async with stream(server, "flow=8") as events:
        assert (await next_of(events, "resync", "journal")).event == "resync"


async def test_filtered_stream_moves_on_over_events_that_are_not_for_it(
    server: GatewayServer, agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that the cursor is stamped before filtering, and told by a heartbeat when nothing is for the client."""
    monkeypatch.setattr(subscription, "HEARTBEAT", 0.05)
    async with server.client.stream("GET", "/api/stream", params={"run": "mine", "cursor": "flow=0"}) as response:
        lines = response.aiter_lines()
        await agent.happen(3, run_id="theirs")
        await agent.happen(1, run_id="mine")
        await agent.happen(2, run_id="theirs")
        told = []
        async for line in lines:
            told.append(line)
            if line == "id: flow=6":
                break
    assert ": heartbeat" in told
    assert [line for line in told if line == "event: journal"] == ["event: journal"]
    assert "id: flow=4" in told


async def test_what_was_pruned_does_not_hold_up_another_agent(agent: ScriptedAgent, second: ScriptedAgent) -> None:
    """Proves that a client whose missed events are all removed still gets what others tell, and then the next one."""
    await agent.happen(20)
    agent.events[:] = agent.events[-1:]
    gone = agent.events.pop()
    await second.happen(1)
    agent.events.append(gone)
    async with GatewayServer([agent.address, second.address]) as server:
        agent.events.clear()
        async with stream(server, "flow=5;other=0") as events:
            assert json.loads((await next_of(events, "journal")).data)["agent"] == "other"
            agent.events.append(gone)
            agent.events[-1].sequence = 21
            await agent.happen(1)
            assert await until_sequence(events, 22) == [21, 22]


async def test_event_of_a_megabyte_comes_whole(server: GatewayServer, agent: ScriptedAgent) -> None:
    """Proves that long outputs with quotes, line breaks and markup are one unbroken event."""
    text = '<script>"\n\u2028\x85é</script>' * 50_000
    async with stream(server) as events:
        await next_of(events, "hello")
        await agent.happen(1, output=text)
        event = await next_of(events, "journal")
    assert len(event.data) > 1_000_000
    assert json.loads(event.data)["event"]["data"]["output"] == text


async def test_agent_that_joins_later_makes_clients_look_anew(agent: ScriptedAgent, second: ScriptedAgent) -> None:
    """Proves that the runs of an agent which was away when the page was opened are not missed."""
    await second.happen(7)
    await second.stop()
    async with GatewayServer([agent.address, second.address]) as server, stream(server) as events:
        assert (await next_of(events, "hello")).id == "flow=0"
        await second.start()
        resync = await next_of(events, "resync")
        assert json.loads(resync.data)["reason"] == "agent other has joined"
        assert resync.id == "flow=0;other=7"


async def test_streams_are_bounded_and_a_cursor_is_checked(agent: ScriptedAgent) -> None:
    """Proves 503 with a time to come again beyond the limit, room again afterwards, and 400 for a wrong cursor."""
    async with GatewayServer([agent.address], gateway_streams=1) as server:
        async with stream(server) as events:
            await next_of(events, "hello")
            refused = await server.client.get("/api/stream")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        while server.gateway.hub.clients:
            await asyncio.sleep(0.01)
        async with stream(server) as events:
            await next_of(events, "hello")
        for wrong in ("flow", "flow=-1", "=1", "flow=99999999999999999999", "flow=1;;"):
            answer = await server.client.get("/api/stream", params={"cursor": wrong})
            assert answer.status_code == 400, wrong
            assert answer.json()["error"]["message"].startswith("cursor: ")


async def test_number_that_json_has_no_word_for_holds_up_nothing(server: GatewayServer, agent: ScriptedAgent) -> None:
    """Proves that a logarithm of nothing in an event is null, and that the events after it come."""
    async with stream(server) as events:
        await next_of(events, "hello")
        await agent.happen(1, log_probability=float("-inf"))
        await agent.happen(1)
        first = json.loads((await next_of(events, "journal")).data)
        assert await until_sequence(events, 2) == [2]
    assert first["event"]["data"]["log_probability"] is None
