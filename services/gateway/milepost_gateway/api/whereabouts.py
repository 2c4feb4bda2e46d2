"""Which agent has a run."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from milepost.agent.v1 import agent_pb2
from milepost_gateway.agent import Agent
from milepost_gateway.errors import ApiError
from milepost_gateway.fleet import Fleet

REMEMBERED = 10_000


class Whereabouts:
    """Asks all agents, and remembers."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._known: OrderedDict[str, str] = OrderedDict()

    def remember(self, run_id: str, agent: Agent) -> None:
        self._known[run_id] = agent.id
        self._known.move_to_end(run_id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def find(self, run_id: str) -> tuple[Agent, agent_pb2.GetRunResponse]:
        """The run and its agent. Raises ApiError: NOT_FOUND only when every agent said so."""
        if (known := self._remembered(run_id)) is not None:
            try:
                return known, await _ask(known, run_id)
            except ApiError as error:
                if error.code != "NOT_FOUND":
                    raise
                self._known.pop(run_id, None)
        return await self._search(run_id)

    async def agent(self, run_id: str) -> Agent:
        """The agent of a run; asks only when it is not remembered."""
        return self._remembered(run_id) or (await self.find(run_id))[0]

    def _remembered(self, run_id: str) -> Agent | None:
        agent = self._known.get(run_id)
        return next((one for one in self._fleet.agents if one.id == agent), None)

    async def _search(self, run_id: str) -> tuple[Agent, agent_pb2.GetRunResponse]:
        worse: list[ApiError] = []
        waiting = {asyncio.create_task(_ask(agent, run_id)): agent for agent in self._fleet.agents}
        try:
            while waiting:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    agent = waiting.pop(task)
                    try:
                        answer = task.result()
                    except ApiError as error:
                        worse += [error] if error.code != "NOT_FOUND" else []
                        continue
                    self.remember(answer.run.run_id, agent)
                    return agent, answer
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if worse:
            raise worse[0]
        raise ApiError("NOT_FOUND", f"run {run_id[:80]}: no agent knows it")


async def _ask(agent: Agent, run_id: str) -> agent_pb2.GetRunResponse:
    return await agent.read(lambda one: one.runs.GetRun, agent_pb2.GetRunRequest(run_id=run_id))


def ranked(agents: Sequence[Agent], correlation_id: str) -> list[Agent]:
    """Agents of one workflow, the one that a run with this correlation id belongs to first (rendezvous hashing)."""

    def weight(agent: Agent) -> bytes:
        return hashlib.sha256(f"{agent.address.pod or agent.id}\0{correlation_id}".encode()).digest()

    return sorted(agents, key=weight, reverse=True)
