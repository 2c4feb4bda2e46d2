"""Agents, the services that they know, and their observability mode."""

import asyncio
import time
import uuid
from typing import Any

from google.protobuf.duration_pb2 import Duration

from milepost.agent.v1 import agent_pb2
from milepost.registry.v1 import registry_pb2
from milepost_gateway.access import Access
from milepost_gateway.agent import Agent
from milepost_gateway.api.inputs import SetMode
from milepost_gateway.endpoint import Call, Endpoint, Nothing
from milepost_gateway.errors import ApiError
from milepost_gateway.fleet import Fleet
from milepost_gateway.overview import Overview
from milepost_gateway.schema import FLAG, TEXT, TIME, extended, listing, message, nullable, record
from milepost_gateway.version import version
from milepost_service.json_form import iso_time, to_json

CAUSE = "ui"
MODE = message(agent_pb2.GetObservabilityResponse)
MODES = {"shipping": agent_pb2.OBSERVABILITY_MODE_SHIPPING, "debug": agent_pb2.OBSERVABILITY_MODE_DEBUG}
AGENTS = record(
    agents=listing(
        record(
            agent=TEXT,
            workflow=TEXT,
            namespace=TEXT,
            target=TEXT,
            reachable=FLAG,
            error=TEXT,
            status=nullable(message(agent_pb2.GetAgentResponse)),
            observability=nullable(MODE),
        )
    )
)
SERVICES = record(services=listing(extended(registry_pb2.Service, namespace=TEXT, agents=listing(TEXT))))
CONFIG = record(
    version=TEXT,
    server_time=TIME,
    writable=FLAG,
    token_required=FLAG,
    mode={"type": "string", "enum": ["local", "cluster"]},
)


class AgentsApi:
    def __init__(self, fleet: Fleet, overview: Overview, access: Access) -> None:
        self._fleet = fleet
        self._overview = overview
        self._access = access

    def endpoints(self) -> list[Endpoint]:
        one, every = "/api/agents/{agent}/observability", "/api/observability"
        results = record(results=listing(record(agent=TEXT, ok=FLAG, error=TEXT, observability=nullable(MODE))))
        return [
            Endpoint("GET", "/api/config", "getConfig", "What it is and what you may do", self.config, CONFIG),
            Endpoint("GET", "/api/agents", "listAgents", "All agents and how they are", self.agents, AGENTS),
            Endpoint("GET", "/api/services", "listServices", "All services that agents know", self.services, SERVICES),
            Endpoint("GET", one, "getObservability", "The mode of an agent", self.mode, MODE),
            Endpoint("PUT", one, "setObservability", "Switches an agent", self.switch, MODE, body=SetMode),
            Endpoint("PUT", every, "setObservabilityOfAll", "Switches all", self.switch_all, results, body=SetMode),
        ]

    async def config(self, call: Call[Nothing, Nothing]) -> dict[str, Any]:
        return {
            "version": version(),
            "server_time": iso_time(time.time()),
            "writable": self._access.may_write(call.request),
            "token_required": self._access.needs_token,
            "mode": self._fleet.mode,
        }

    async def agents(self, call: Call[Nothing, Nothing]) -> dict[str, Any]:
        return await self._overview.agents()

    async def services(self, call: Call[Nothing, Nothing]) -> dict[str, Any]:
        return await self._overview.services()

    async def mode(self, call: Call[Nothing, Nothing]) -> dict[str, Any]:
        return await _mode(self._fleet.agent(call.path["agent"]))

    async def switch(self, call: Call[Nothing, SetMode]) -> dict[str, Any]:
        return await _switch(self._fleet.agent(call.path["agent"]), call.body)

    async def switch_all(self, call: Call[Nothing, SetMode]) -> dict[str, Any]:
        async def one(agent: Agent) -> dict[str, Any]:
            try:
                found, error = await _switch(agent, call.body), ""
            except ApiError as refused:
                found, error = None, str(refused)
            return {"agent": agent.id, "ok": not error, "error": error, "observability": found}

        return {"results": await asyncio.gather(*map(one, self._fleet.agents))}


async def _mode(agent: Agent) -> dict[str, Any]:
    answer = await agent.read(lambda one: one.runs.GetObservability, agent_pb2.GetObservabilityRequest())
    return to_json(answer)


async def _switch(agent: Agent, body: SetMode) -> dict[str, Any]:
    request = agent_pb2.SetObservabilityRequest(
        mode=MODES[body.mode], request_id=body.request_id or str(uuid.uuid4()), cause=CAUSE
    )
    if body.duration_seconds is not None:
        duration = Duration()
        duration.FromMilliseconds(round(body.duration_seconds * 1000))
        request.duration.CopyFrom(duration)
    await agent.write(lambda one: one.runs.SetObservability, request)
    return await _mode(agent)
