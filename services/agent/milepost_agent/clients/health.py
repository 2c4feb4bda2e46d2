"""Asks every known service for its health by the standard gRPC protocol, and those that are ready what they use."""

import asyncio
import contextlib
from dataclasses import fields

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.registry.v1 import registry_pb2
from milepost_agent.clients.services import ServiceClients
from milepost_agent.registry import Entry, Registry, ServiceUsage
from milepost_service.channels import unresolved

CHECK_SECONDS = 2.0
CHECK_TIMEOUT_SECONDS = 2.0
USAGE_SECONDS = 5.0
ASKED_AT_ONCE = 4


class HealthMonitor:
    """Two watching tasks; a service is out of the candidates within CHECK_SECONDS + CHECK_TIMEOUT_SECONDS."""

    def __init__(self, registry: Registry, clients: ServiceClients) -> None:
        self._registry = registry
        self._clients = clients
        self._tasks: list[asyncio.Task[None]] = []
        self._looked = asyncio.Event()
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._run(), name="health-monitor"),
            asyncio.create_task(self._ask(), name="usage-monitor"),
        ]

    async def first_look(self, patience: float) -> None:
        """Returns once every service was asked, or after `patience` seconds, when one of them does not answer."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._looked.wait(), patience)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def check(self, entry: Entry) -> None:
        """Checks one service now."""
        stub = health_pb2_grpc.HealthStub(self._clients.channel(entry.target))
        try:
            answer = await stub.Check(
                health_pb2.HealthCheckRequest(), timeout=CHECK_TIMEOUT_SECONDS, wait_for_ready=False
            )
            healthy = answer.status == health_pb2.HealthCheckResponse.SERVING
        except grpc.aio.AioRpcError as error:
            healthy = False
            if unresolved(error):
                await self._clients.renew(entry.target)
        self._registry.set_health(entry.name, entry.target, healthy)

    async def ask_usage(self, entry: Entry) -> None:
        """Asks one service what it uses. One that does not say keeps what it registered."""
        async with self._asking:
            stub = capability_pb2_grpc.CapabilityServiceStub(self._clients.channel(entry.target))
            with contextlib.suppress(grpc.aio.AioRpcError):
                answer = await stub.GetUsage(capability_pb2.GetUsageRequest(), timeout=CHECK_TIMEOUT_SECONDS)
                self._registry.set_usage(entry.name, entry.target, usage_from(answer.usage))

    async def _run(self) -> None:
        while True:
            self._registry.expire()
            await asyncio.gather(*(self.check(entry) for entry in self._registry.entries()))
            self._looked.set()
            await asyncio.sleep(CHECK_SECONDS)

    async def _ask(self) -> None:
        await self._looked.wait()
        while True:
            await asyncio.gather(*(self.ask_usage(entry) for entry in self._registry.ready()))
            await asyncio.sleep(USAGE_SECONDS)


def usage_from(usage: registry_pb2.Usage) -> ServiceUsage:
    """What a service says of itself, in the registry's terms."""
    return ServiceUsage(**{each.name: getattr(usage, each.name) for each in fields(ServiceUsage)})
