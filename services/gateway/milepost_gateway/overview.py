"""What is shown of all agents and services at once, asked of the agents."""

import asyncio
from collections.abc import Sequence
from typing import Any

from milepost.agent.v1 import agent_pb2
from milepost.registry.v1 import registry_pb2
from milepost_gateway.agent import Agent
from milepost_gateway.errors import ApiError
from milepost_service.json_form import to_json

ASK_SECONDS = 2.0
_BEST_FIRST = (
    registry_pb2.SERVICE_STATE_READY,
    registry_pb2.SERVICE_STATE_NOT_READY,
    registry_pb2.SERVICE_STATE_GONE,
    registry_pb2.SERVICE_STATE_UNSPECIFIED,
)


async def agents_json(agents: Sequence[Agent]) -> dict[str, Any]:
    """`{agents: [...]}`; one that does not answer is not reachable."""
    return {"agents": await asyncio.gather(*map(agent_json, agents))}


async def agent_json(agent: Agent) -> dict[str, Any]:
    address = agent.address
    form: dict[str, Any] = {
        "agent": address.agent,
        "workflow": address.workflow,
        "namespace": address.namespace,
        "target": address.target,
        "reachable": False,
        "error": "",
        "status": None,
        "observability": None,
    }
    try:
        status, mode = await asyncio.gather(
            agent.read(lambda one: one.runs.GetAgent, agent_pb2.GetAgentRequest(), ASK_SECONDS),
            agent.read(lambda one: one.runs.GetObservability, agent_pb2.GetObservabilityRequest(), ASK_SECONDS),
        )
    except ApiError as error:
        return {**form, "error": str(error)}
    return {**form, "reachable": True, "status": to_json(status), "observability": to_json(mode)}


async def services_json(agents: Sequence[Agent]) -> dict[str, Any]:
    """`{services: [...]}`: each service once, with the agents that know it, as the one that has most of it sees it."""
    answers = await asyncio.gather(*map(_services_of, agents))
    known: dict[tuple[str, str], list[tuple[str, registry_pb2.Service]]] = {}
    for agent, services in zip(agents, answers, strict=True):
        for service in services:
            known.setdefault((agent.address.namespace, service.name), []).append((agent.id, service))
    merged = []
    for (namespace, _), seen in sorted(known.items()):
        best = min((service for _, service in seen), key=lambda service: _BEST_FIRST.index(service.state))
        merged.append({**to_json(best), "namespace": namespace, "agents": [agent for agent, _ in seen]})
    return {"services": merged}


async def _services_of(agent: Agent) -> Sequence[registry_pb2.Service]:
    try:
        request = registry_pb2.ListServicesRequest()
        return (await agent.read(lambda one: one.registry.ListServices, request, ASK_SECONDS)).services
    except ApiError:
        return ()
