"""A scripted service at the protocol we own, and an agent without its process, for tests of one event loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost.registry.v1 import registry_pb2
from milepost_agent.clients import HealthMonitor, ServiceClients
from milepost_agent.effects import Effects
from milepost_agent.nodes import NodeDependencies
from milepost_agent.recovery import Recovery
from milepost_agent.registry import Entry, Registry
from milepost_agent.router import Recommender, Router
from milepost_agent.runner import Runner
from milepost_agent.steering import Steering
from milepost_agent.store import EventRecord, RunRecord, Store
from milepost_agent.tracing import RunProjection, Span
from milepost_crds import AgentWorkflow

Answer = Callable[[capability_pb2.InvokeRequest, int], capability_pb2.InvokeResult]
PATIENCE = 20.0


def echo(request: capability_pb2.InvokeRequest, call: int) -> capability_pb2.InvokeResult:
    verdict = request.verdicts[0] if request.verdicts else ""
    return capability_pb2.InvokeResult(text=f"{request.role} {call}", verdict=verdict)


def always_revise(request: capability_pb2.InvokeRequest, call: int) -> capability_pb2.InvokeResult:
    verdict = "revise" if request.verdicts else ""
    return capability_pb2.InvokeResult(text=f"{request.role} {call}", verdict=verdict)


@dataclass
class ScriptedService(
    capability_pb2_grpc.CapabilityServiceServicer,
    model_pb2_grpc.ModelServiceServicer,  # type: ignore[misc]
):
    """Answers by a function, remembers every request, and can fail or hang on demand."""

    name: str
    capabilities: tuple[str, ...]
    answer: Answer = echo
    scores: Callable[[str], float] = lambda candidate: 0.0
    failures: list[grpc.StatusCode] = field(default_factory=list)
    refusal: tuple[grpc.StatusCode, str] | None = None
    hang: bool = False
    requests: list[capability_pb2.InvokeRequest] = field(default_factory=list)
    call_ids: list[str] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    scored: Callable[[Any], Awaitable[None]] | None = None
    """Called with the context of each Score before it is answered."""
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    completed: int = 0
    health: Any = field(default_factory=health.HealthServicer)
    usage: registry_pb2.Usage | None = None
    port: int = 0
    server: grpc.aio.Server | None = None

    async def start(self) -> None:
        self.server = grpc.aio.server()
        capability_pb2_grpc.add_CapabilityServiceServicer_to_server(self, self.server)
        model_pb2_grpc.add_ModelServiceServicer_to_server(self, self.server)
        await self.say(health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.server.start()

    async def say(self, status: Any) -> None:
        """Sets what the health service answers."""
        await self.health.set("", status)

    async def stop(self) -> None:
        if self.server:
            await self.server.stop(0)

    def entry(self) -> Entry:
        return Entry(self.name, f"127.0.0.1:{self.port}", self.capabilities, f"scripted {self.name}")

    async def Invoke(self, request: Any, context: Any) -> AsyncIterator[capability_pb2.InvokeResponse]:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.call_ids.append(self.metadata[-1]["milepost-call-id"])
        self.entered.set()
        if self.failures:
            await context.abort(self.failures.pop(0), "scripted failure")
        if self.refusal:
            await context.abort(*self.refusal)
        try:
            while self.hang:
                yield capability_pb2.InvokeResponse(delta=".")
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        yield capability_pb2.InvokeResponse(result=self.answer(request, len(self.requests)))
        await asyncio.sleep(0.02)
        self.completed += 1

    async def CancelCall(self, request: Any, context: Any) -> capability_pb2.CancelCallResponse:
        self.stopped.append(request.call_id)
        return capability_pb2.CancelCallResponse(found=True)

    async def GetUsage(self, request: Any, context: Any) -> capability_pb2.GetUsageResponse:
        if self.usage is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        return capability_pb2.GetUsageResponse(usage=self.usage)

    async def Score(self, request: Any, context: Any) -> model_pb2.ScoreResponse:
        self.prompts.append(request.chat.messages[-1].content)
        if self.scored:
            await self.scored(context)
        return model_pb2.ScoreResponse(
            candidates=[
                model_pb2.ScoredCandidate(
                    candidate=each, log_probability=self.scores(each), tokens=1, baseline_log_probability=0.0
                )
                for each in request.candidates
            ]
        )


def workflow(**spec: Any) -> AgentWorkflow:
    """A linear workflow of research, code and review with the arbitrator's model `brain`, changed by `spec`."""
    steps = [
        {"name": "research", "role": "researcher", "capability": "rag"},
        {"name": "code", "role": "coder", "capability": "coding"},
        {"name": "review", "role": "reviewer", "capability": "review"},
    ]
    body = {"pattern": "linear", "steps": steps, "arbitrator": {"modelRef": {"name": "brain"}}, **spec}
    return AgentWorkflow.model_validate({"metadata": {"name": "flow"}, "spec": body})


def cyclic(**spec: Any) -> AgentWorkflow:
    return workflow(**{"pattern": "cyclic", "cycle": {"from": "review", "to": "code"}, **spec})


@dataclass
class Harness:
    """An agent's parts over one store, without a process around them."""

    store: Store
    registry: Registry
    runner: Runner
    steering: Steering
    recovery: Recovery
    health: HealthMonitor

    async def run(self, prompt: str = "Write a function", correlation_id: str = "") -> RunRecord:
        record, _ = await self.runner.accept(prompt, correlation_id)
        return await self.ended(record.run_id)

    async def ended(self, run_id: str) -> RunRecord:
        return await self.reached(run_id, "ended")

    async def reached(self, run_id: str, state: str) -> RunRecord:
        async with asyncio.timeout(PATIENCE):
            while (record := await self.runner.get(run_id)).state != state:
                await asyncio.sleep(0.01)
        return record

    async def events(self, run_id: str) -> list[EventRecord]:
        return await self.store.events(run_id)

    async def spans(self, run_id: str) -> list[Span]:
        """What the journal makes of a run."""
        events = await self.events(run_id)
        projection = RunProjection(events[0])
        return [span for event in events for span in projection.take(event, self.store.epoch)]

    async def types(self, run_id: str) -> list[str]:
        return [event.type for event in await self.events(run_id)]


@asynccontextmanager
async def agent(
    path: Path,
    flow: AgentWorkflow,
    *services: ScriptedService,
    recovering: bool = False,
    now: Callable[[], float] = time.time,
    router: Recommender | None = None,
) -> AsyncIterator[Harness]:
    """Opens the store at `path` and, when told to, goes on with what it holds, as after the death of a process."""
    store = await Store.open(path / "milepost.db", history=False, now=now)
    registry = Registry()
    clients = ServiceClients()
    monitor = HealthMonitor(registry, clients)
    dependencies = NodeDependencies(
        spec=flow.spec,
        store=store,
        registry=registry,
        router=router or Router.load(None),
        clients=clients,
        effects=Effects(store),
        now=now,
    )
    runner = Runner(flow, dependencies, now)
    await runner.start()
    for service in services:
        await monitor.check(registry.register(service.entry(), 300))
    monitor.start()
    recovery = Recovery(store, runner)
    try:
        if recovering:
            await recovery.start()
        yield Harness(store, registry, runner, Steering(runner, store, now), recovery, monitor)
    finally:
        await runner.drain(0)
        await monitor.stop()
        await clients.close()
        await store.close()
