"""The router reads what services say as they come, before anybody asks."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from milepost_agent.learning import Learner
from milepost_agent.registry import Entry, Registry, ServiceUsage
from milepost_agent.router import Candidate, Recommendation

CODER = Entry("coder", "127.0.0.1:1", ("coding",), "Writes code", ("Write a loop",))


class Reader:
    """Remembers what it was given to read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def learn(self, candidates: Sequence[Candidate]) -> None:
        self.read += [each.description for each in candidates]

    def recommend(self, text: str, candidates: Sequence[Candidate], capability: str | None = None) -> Recommendation:
        raise NotImplementedError

    def score_tags(self, text: str) -> dict[str, float]:
        raise NotImplementedError


async def until_read(reader: Reader, *descriptions: str) -> None:
    async with asyncio.timeout(60):
        while len(reader.read) < len(descriptions):
            await asyncio.sleep(0.01)
    assert reader.read == list(descriptions)


@pytest.mark.requirement("RTR-2")
async def test_each_service_is_read_once_when_it_is_ready_and_again_when_it_says_something_else() -> None:
    registry, reader = Registry(), Reader()
    learner = Learner(registry, reader)
    learner.start()
    registry.register(CODER)
    registry.register(replace(CODER, name="silent", target="127.0.0.1:2", description="never ready"))
    for healthy in (True, False, True):
        registry.set_health("coder", CODER.target, healthy=healthy)
        registry.set_usage("coder", CODER.target, ServiceUsage(active_calls=int(healthy)))
        await asyncio.sleep(0.02)
    await until_read(reader, "Writes code")
    registry.register(replace(CODER, description="Writes Rust"))
    await until_read(reader, "Writes code", "Writes Rust")
    registry.remove("coder")
    await asyncio.sleep(0.02)
    registry.register(replace(CODER, description="Writes Rust"))
    registry.set_health("coder", CODER.target, healthy=True)
    await until_read(reader, "Writes code", "Writes Rust", "Writes Rust")
    registry.end_watches()
    await learner.stop()
