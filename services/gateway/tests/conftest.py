"""What the tests of the gateway share."""

from collections.abc import AsyncIterator

import pytest
from scripted_agent import GatewayServer, ScriptedAgent


@pytest.fixture
async def agent() -> AsyncIterator[ScriptedAgent]:
    scripted = ScriptedAgent("flow")
    await scripted.start()
    yield scripted
    await scripted.stop()


@pytest.fixture
async def second() -> AsyncIterator[ScriptedAgent]:
    scripted = ScriptedAgent("other")
    await scripted.start()
    yield scripted
    await scripted.stop()


@pytest.fixture
async def server(agent: ScriptedAgent) -> AsyncIterator[GatewayServer]:
    async with GatewayServer([agent.address]) as running:
        yield running
