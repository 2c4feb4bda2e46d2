"""What is shown of all agents and services at once, asked of the agents."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from milepost.agent.v1 import agent_pb2
from milepost.registry.v1 import registry_pb2
from milepost_gateway.agent import Agent
from milepost_gateway.errors import ApiError
from milepost_gateway.glance import Glance
from milepost_service.json_form import to_json

ASK_SECONDS = 2.0
_BEST_FIRST = (
    registry_pb2.SERVICE_STATE_READY,
    registry_pb2.SERVICE_STATE_NOT_READY,
    registry_pb2.SERVICE_STATE_GONE,
    registry_pb2.SERVICE_STATE_UNSPECIFIED,
)


Form = dict[str, Any]
Services = Sequence[registry_pb2.Service]


class Overview:
    """All agents and services, without waiting for an agent that hangs.

    `renewed` is called when something is new that was not there in time for the last answer.
    """

    def __init__(self, agents: Callable[[], Sequence[Agent]], renewed: Callable[[], None]) -> None:
        self._all = agents
        self._agents: Glance[Form] = Glance(_agent_json, renewed)
        self._services: Glance[Services] = Glance(_services_of, renewed)

    async def agents(self) -> Form:
        """`{agents: [...]}`; one that does not answer is not reachable, with what was last known of it."""
        return {"agents": await self._agents.of(self._all())}

    async def services(self) -> Form:
        """`{services: [...]}`: each service once, with the agents that know it, as the best informed one sees it."""
        agents = self._all()
        return {"services": _merged(agents, await self._services.of(agents))}

    async def close(self) -> None:
        await asyncio.gather(self._agents.close(), self._services.close())


async def _agent_json(agent: Agent, before: Form | None) -> Form:
    address = agent.address
    form: Form = {
        "agent": address.agent,
        "workflow": address.workflow,
        "namespace": address.namespace,
        "target": address.target,
        "reachable": False,
        "error": "",
        "status": before and before["status"],
        "observability": before and before["observability"],
    }
    try:
        status, mode = await asyncio.gather(
            agent.read(lambda one: one.runs.GetAgent, agent_pb2.GetAgentRequest(), ASK_SECONDS),
            agent.read(lambda one: one.runs.GetObservability, agent_pb2.GetObservabilityRequest(), ASK_SECONDS),
        )
    except ApiError as error:
        return {**form, "error": str(error)}
    return {**form, "reachable": True, "status": to_json(status), "observability": to_json(mode)}


def _merged(agents: Sequence[Agent], answers: Sequence[Services]) -> list[Form]:
    known: dict[tuple[str, str], list[tuple[str, registry_pb2.Service]]] = {}
    for agent, services in zip(agents, answers, strict=True):
        for service in services:
            known.setdefault((agent.address.namespace, service.name), []).append((agent.id, service))
    merged = []
    for (namespace, _), seen in sorted(known.items()):
        best = min((service for _, service in seen), key=lambda service: _BEST_FIRST.index(service.state))
        merged.append({**to_json(best), "namespace": namespace, "agents": [agent for agent, _ in seen]})
    return merged


async def _services_of(agent: Agent, before: Services | None) -> Services:
    try:
        request = registry_pb2.ListServicesRequest()
        return (await agent.read(lambda one: one.registry.ListServices, request, ASK_SECONDS)).services
    except ApiError:
        return ()
