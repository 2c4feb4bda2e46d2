"""Has the router read what services say of themselves before the first run needs it."""

import asyncio

from milepost_agent.nodes.recommend import candidate
from milepost_agent.registry import Registry
from milepost_agent.router import Candidate, Recommender


class Learner:
    """One watching task over the registry."""

    def __init__(self, registry: Registry, router: Recommender) -> None:
        self._registry = registry
        self._router = router
        self._known: dict[str, Candidate] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="router-learner")

    async def stop(self) -> None:
        """Ends with the watches of the registry."""
        if self._task:
            await self._task

    async def _run(self) -> None:
        async for entry in self._registry.watch():
            if entry.gone:
                self._known.pop(entry.name, None)
            elif entry.healthy and (service := candidate(entry)) != self._known.get(entry.name):
                self._known[entry.name] = service
                await asyncio.to_thread(self._router.learn, [service])
