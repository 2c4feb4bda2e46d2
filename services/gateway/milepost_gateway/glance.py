"""One question to all agents, whose answers are shown side by side: a slow one does not hold up the others."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from milepost_gateway.agent import Agent

Answer = TypeVar("Answer")

PATIENCE = 0.25
"""Seconds that an agent has to answer before it is shown as it was last seen."""


class Glance(Generic[Answer]):
    """Asks each agent anew, and waits but `PATIENCE` for one that has answered before: the rest goes on behind.

    An agent that is late is not asked again before it has answered or given up. `ask` gets the answer before, None at
    first, and has an end of its own; `renewed` is called when a late answer is not the one that was shown instead.
    """

    def __init__(self, ask: Callable[[Agent, Answer | None], Awaitable[Answer]], renewed: Callable[[], None]) -> None:
        self._ask, self._renewed = ask, renewed
        self._known: dict[Agent, Answer] = {}
        self._late: set[Agent] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def of(self, agents: Sequence[Agent]) -> Sequence[Answer]:
        """An answer of each, in their order."""
        for gone in self._known.keys() - set(agents):
            del self._known[gone]
        return await asyncio.gather(*map(self._of, agents))

    async def close(self) -> None:
        """Waits for nobody any more."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _of(self, agent: Agent) -> Answer:
        if agent not in self._late:
            task = asyncio.create_task(self._look(agent))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            done, _ = await asyncio.wait({task}, timeout=PATIENCE if agent in self._known else None)
            for each in done:
                each.result()
            if not done:
                self._late.add(agent)
        return self._known[agent]

    async def _look(self, agent: Agent) -> None:
        before = self._known.get(agent)
        try:
            answer = await self._ask(agent, before)
        finally:
            was_late = agent in self._late
            self._late.discard(agent)
        self._known[agent] = answer
        if was_late and answer != before:
            self._renewed()
