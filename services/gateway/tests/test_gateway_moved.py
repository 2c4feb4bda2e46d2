"""An agent whose address changes while it is being asked: the call is told so or made again, and nobody stops."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from scripted_agent import PATIENCE, ScriptedAgent

from milepost.agent.v1 import agent_pb2
from milepost_gateway.agent import Agent
from milepost_gateway.errors import ApiError
from milepost_gateway.feed import Feed
from milepost_gateway.journal import Entry

pytestmark = pytest.mark.requirement("AGT-1", "AGT-4")


@pytest.fixture
async def asked(agent: ScriptedAgent) -> AsyncIterator[Agent]:
    asked = Agent(agent.address)
    yield asked
    await asked.close()


async def until_asked(agent: ScriptedAgent) -> None:
    async with asyncio.timeout(PATIENCE):
        while not agent.metadata:
            await asyncio.sleep(0.01)


async def move(asked: Agent, to: ScriptedAgent) -> None:
    await asked.move(replace(asked.address, target=to.address.target))


async def test_a_question_that_is_under_way_is_answered_as_by_an_agent_that_is_away(
    agent: ScriptedAgent, second: ScriptedAgent, asked: Agent
) -> None:
    agent.hang = True
    question = asyncio.create_task(asked.newest(PATIENCE))
    await until_asked(agent)
    await move(asked, second)
    with pytest.raises(ApiError, match="is being connected to anew") as refused:
        await question
    assert refused.value.code == "UNAVAILABLE"
    agent.hang = False
    assert await asked.newest() == 0


async def test_a_change_that_is_under_way_is_made_at_the_new_address(
    agent: ScriptedAgent, second: ScriptedAgent, asked: Agent
) -> None:
    agent.hang = True
    request = agent_pb2.StartRunRequest(prompt="go", correlation_id="one")
    change = asyncio.create_task(asked.write(lambda to: to.runs.StartRun, request, PATIENCE))
    await until_asked(agent)
    await move(asked, second)
    assert (await change).run.prompt == "go"
    agent.hang = False
    assert [run.correlation_id for run in second.runs] == ["one"]


async def test_a_caller_who_gives_up_is_still_cancelled(agent: ScriptedAgent, asked: Agent) -> None:
    agent.hang = True
    question = asyncio.create_task(asked.newest(PATIENCE))
    await until_asked(agent)
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question
    agent.hang = False


async def test_the_journal_is_followed_on_at_the_new_address(agent: ScriptedAgent, second: ScriptedAgent) -> None:
    seen: list[int] = []
    news = asyncio.Event()

    def on_event(entry: Entry) -> None:
        seen.append(entry.sequence)
        news.set()

    feed = Feed(Agent(agent.address), on_event, lambda: None)
    try:
        async with asyncio.timeout(PATIENCE):
            while not feed.connected:
                await asyncio.sleep(0.01)
            await agent.happen()
            await news.wait()
            second.events = list(agent.events)
            await move(feed.agent, second)
            while not second.watches:
                await asyncio.sleep(0.01)
            news.clear()
            await second.happen()
            await news.wait()
    finally:
        await feed.close()
    assert seen == [1, 2]
