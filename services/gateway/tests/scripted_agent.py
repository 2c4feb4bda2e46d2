"""An agent at the protocol that we own, whose journal and moods a test decides; and the gateway on a real port."""

import asyncio
import contextlib
import socket
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import uvicorn
from google.protobuf.struct_pb2 import Struct

from milepost.agent.v1 import agent_pb2, agent_pb2_grpc, backup_pb2_grpc
from milepost.registry.v1 import registry_pb2, registry_pb2_grpc
from milepost_gateway.addresses import AgentAddress, StaticAgents
from milepost_gateway.app import Gateway
from milepost_gateway.settings import GatewaySettings

PATIENCE = 60.0
SIZES = (("grpc.max_send_message_length", 16 * 1024 * 1024), ("grpc.so_reuseport", 0))


@dataclass
class ScriptedAgent(
    agent_pb2_grpc.AgentServiceServicer,
    registry_pb2_grpc.RegistryServiceServicer,  # type: ignore[misc]
    backup_pb2_grpc.BackupServiceServicer,  # type: ignore[misc]
):
    """`events` is its journal, `runs` what it lists, newest last; `hang` lets it answer nothing."""

    name: str
    events: list[agent_pb2.RunEvent] = field(default_factory=list)
    runs: list[agent_pb2.Run] = field(default_factory=list)
    services: list[registry_pb2.Service] = field(default_factory=list)
    hang: bool = False
    watches: list[int] = field(default_factory=list)
    calls: list[Any] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0
    server: grpc.aio.Server | None = None
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def address(self) -> AgentAddress:
        return AgentAddress(agent=self.name, workflow=self.name, target=f"127.0.0.1:{self.port}")

    async def start(self) -> None:
        self.server = grpc.aio.server(options=SIZES)
        agent_pb2_grpc.add_AgentServiceServicer_to_server(self, self.server)
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(self, self.server)
        backup_pb2_grpc.add_BackupServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.server.start()

    async def stop(self) -> None:
        if self.server:
            await self.server.stop(0)
            self.server = None

    async def happen(self, count: int = 1, *, run_id: str = "run", jump: int = 0, **data_fields: Any) -> None:
        """Commits events; `jump` sequence numbers are left out before them."""
        data = Struct()
        data.update(data_fields)
        last = self.events[-1].sequence if self.events else 0
        for number in range(1, count + 1):
            self.events.append(
                agent_pb2.RunEvent(sequence=last + jump + number, run_id=run_id, type="StepCompleted", data=data)
            )
        async with self.news:
            self.news.notify_all()

    async def _mood(self, context: Any) -> None:
        self.metadata.append(dict(context.invocation_metadata()))
        while self.hang:
            await asyncio.sleep(0.02)

    async def GetAgent(self, request: Any, context: Any) -> agent_pb2.GetAgentResponse:
        await self._mood(context)
        last = self.events[-1].sequence if self.events else 0
        return agent_pb2.GetAgentResponse(workflow=self.name, last_sequence=last, running=len(self.runs))

    async def GetObservability(self, request: Any, context: Any) -> agent_pb2.GetObservabilityResponse:
        await self._mood(context)
        return agent_pb2.GetObservabilityResponse(mode=agent_pb2.OBSERVABILITY_MODE_SHIPPING)

    async def ListServices(self, request: Any, context: Any) -> registry_pb2.ListServicesResponse:
        await self._mood(context)
        return registry_pb2.ListServicesResponse(services=self.services)

    async def ListRuns(self, request: Any, context: Any) -> agent_pb2.ListRunsResponse:
        await self._mood(context)
        self.calls.append(request)
        before = int(request.page_token) if request.page_token else len(self.runs)
        begin = max(before - request.page_size, 0)
        return agent_pb2.ListRunsResponse(
            runs=self.runs[begin:before][::-1], next_page_token=str(begin) if begin else ""
        )

    async def GetRun(self, request: Any, context: Any) -> agent_pb2.GetRunResponse:
        await self._mood(context)
        for run in self.runs:
            if request.run_id in (run.run_id, run.correlation_id):
                return agent_pb2.GetRunResponse(run=run)
        await context.abort(grpc.StatusCode.NOT_FOUND, f"run {request.run_id}: there is none")
        raise AssertionError

    async def StartRun(self, request: Any, context: Any) -> agent_pb2.StartRunResponse:
        await self._mood(context)
        for run in self.runs:
            if run.correlation_id == request.correlation_id:
                return agent_pb2.StartRunResponse(run=run, existing=True)
        run = agent_pb2.Run(run_id=str(uuid.uuid4()), correlation_id=request.correlation_id, prompt=request.prompt)
        run.create_time.GetCurrentTime()
        self.runs.append(run)
        return agent_pb2.StartRunResponse(run=run)

    async def CancelRun(self, request: Any, context: Any) -> agent_pb2.CancelRunResponse:
        await self._mood(context)
        self.calls.append(request)
        return agent_pb2.CancelRunResponse(run=agent_pb2.Run(run_id=request.run_id))

    async def WatchRun(self, request: Any, context: Any) -> AsyncIterator[agent_pb2.WatchRunResponse]:
        await self._mood(context)
        self.watches.append(request.after_sequence)
        after = request.after_sequence
        while True:
            for event in [event for event in self.events if event.sequence > after]:
                after = event.sequence
                if request.run_id in ("", event.run_id):
                    yield agent_pb2.WatchRunResponse(event=event)
            async with self.news:
                await self.news.wait_for(lambda seen=after: bool(self.events) and self.events[-1].sequence > seen)


class GatewayServer:
    """The gateway behind a real port of this process; stopped and started again by a test at the same port."""

    def __init__(self, agents: Sequence[AgentAddress], port: int = 0, **settings: Any) -> None:
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        settings.setdefault("gateway_write", "open")
        settings.setdefault("gateway_static", Path("/nonexistent"))
        listen = f"127.0.0.1:{self.port}"
        self.gateway = Gateway(GatewaySettings(listen=listen, **settings), StaticAgents(agents))
        config = uvicorn.Config(self.gateway.app, lifespan="off", ws="none", log_config=None, http="h11")
        self.server = uvicorn.Server(config)
        self.server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        self.client = httpx.AsyncClient(base_url=self.url, timeout=PATIENCE)

    async def __aenter__(self) -> "GatewayServer":
        self._running = self.gateway.running()
        await self._running.__aenter__()
        self._task = asyncio.create_task(self.server.serve(sockets=[self.listener]))
        while not self.server.started:
            await asyncio.sleep(0.005)
        await self.gateway.fleet.settled(PATIENCE)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        self.gateway.hub.close()
        self.server.should_exit = True
        await self._task
        await self._running.__aexit__(None, None, None)
        self.listener.close()


@dataclass(frozen=True)
class Sent:
    """One event of the stream."""

    event: str
    id: str
    data: str


async def sent(lines: AsyncIterator[str]) -> AsyncIterator[Sent]:
    """Server-sent events as a browser reads them: an id holds until the next one."""
    event, last_id, data = "", "", []
    async for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            last_id = value
        elif name == "event":
            event = value
        elif name == "data":
            data.append(value)
        elif not line and data:
            yield Sent(event, last_id, "\n".join(data))
            event, data = "", []


@contextlib.asynccontextmanager
async def stream(server: GatewayServer, cursor: str = "", **query: str) -> AsyncIterator[AsyncIterator[Sent]]:
    """An open stream; `cursor` goes as Last-Event-ID."""
    headers = {"Last-Event-ID": cursor} if cursor else {}
    async with server.client.stream("GET", "/api/stream", params=query, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        async with contextlib.aclosing(sent(response.aiter_lines())) as events:  # type: ignore[type-var]
            yield events


async def next_of(events: AsyncIterator[Sent], *kinds: str) -> Sent:
    """The next event of one of these kinds."""
    async with asyncio.timeout(PATIENCE):
        async for each in events:
            if each.event in kinds:
                return each
    raise AssertionError("the stream ended")
