"""What the tests of the agent share."""

from collections.abc import AsyncIterator

import pytest

from agent_harness import ScriptedService


@pytest.fixture
async def worker() -> AsyncIterator[ScriptedService]:
    service = ScriptedService("worker", ("rag", "coding", "review", "general"))
    await service.start()
    yield service
    await service.stop()
