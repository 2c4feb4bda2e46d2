"""All agents that are known now, each with its feed."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from milepost_gateway.addresses import AgentAddress, Agents
from milepost_gateway.agent import Agent
from milepost_gateway.errors import ApiError
from milepost_gateway.feed import Feed
from milepost_gateway.journal import Entry

PAUSE_SECONDS = 2.0
_log = logging.getLogger(__name__)


class Fleet:
    """Follows what `agents` tells. `on_event` hears of each event, `on_change` of agents that came or went."""

    def __init__(self, agents: Agents) -> None:
        self.mode = agents.mode
        self.on_event: Callable[[Entry], None] = lambda _: None
        self.on_change: Callable[[], None] = lambda: None
        self._agents = agents
        self._feeds: dict[str, Feed] = {}
        self._known = asyncio.Event()

    @property
    def feeds(self) -> Sequence[Feed]:
        """In the order of their ids."""
        return [self._feeds[agent] for agent in sorted(self._feeds)]

    @property
    def agents(self) -> Sequence[Agent]:
        return [feed.agent for feed in self.feeds]

    def agent(self, agent: str) -> Agent:
        """Raises ApiError when there is none with this id."""
        if agent not in self._feeds:
            raise ApiError("NOT_FOUND", f"agent {agent[:80]!r}: there is none with this id")
        return self._feeds[agent].agent

    def of_workflow(self, workflow: str) -> list[Agent]:
        """Those that run a workflow, given as NAME, in every namespace, or as NAMESPACE/NAME."""
        namespace, _, name = workflow.rpartition("/")
        return [
            agent
            for agent in self.agents
            if agent.address.workflow == name and namespace in ("", agent.address.namespace)
        ]

    async def settled(self, seconds: float) -> None:
        """Waits until each agent has answered or was found to be away, but not for longer than that."""
        try:
            async with asyncio.timeout(seconds):
                await self._known.wait()
                for feed in self.feeds:
                    await feed.settled.wait()
        except TimeoutError:
            return

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                try:
                    async for addresses in self._agents.watch():
                        await self._take(addresses)
                except Exception:
                    _log.exception("the agents cannot be looked up; those that are known are kept")
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            await self._take(())

    async def _take(self, addresses: Sequence[AgentAddress]) -> None:
        wanted = {address.agent: address for address in addresses}
        gone = [self._feeds.pop(agent) for agent in [*self._feeds] if agent not in wanted]
        await asyncio.gather(*(feed.close() for feed in gone))
        for agent, address in wanted.items():
            if agent in self._feeds:
                await self._feeds[agent].agent.move(address)
            else:
                self._feeds[agent] = Feed(Agent(address), lambda entry: self.on_event(entry), lambda: self.on_change())
        self._known.set()
        self.on_change()
