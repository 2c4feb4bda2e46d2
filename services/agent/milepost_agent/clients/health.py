"""Asks every known service for its health by the standard gRPC protocol."""

import asyncio
import contextlib

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from milepost_agent.clients.services import ServiceClients
from milepost_agent.registry import Entry, Registry
from milepost_service.channels import unresolved

CHECK_SECONDS = 2.0
CHECK_TIMEOUT_SECONDS = 2.0


class HealthMonitor:
    """One watching task; a service is out of the candidates within CHECK_SECONDS + CHECK_TIMEOUT_SECONDS."""

    def __init__(self, registry: Registry, clients: ServiceClients) -> None:
        self._registry = registry
        self._clients = clients
        self._task: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="health-monitor")

    async def first_look(self, patience: float) -> None:
        """Returns once every service was asked, or after `patience` seconds, when one of them does not answer."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._looked.wait(), patience)

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

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

    async def _run(self) -> None:
        while True:
            self._registry.expire()
            await asyncio.gather(*(self.check(entry) for entry in self._registry.entries()))
            self._looked.set()
            await asyncio.sleep(CHECK_SECONDS)
