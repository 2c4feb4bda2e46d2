"""RegistryService over gRPC: services come, renew their leases, and go."""

from collections.abc import AsyncIterator

import grpc.aio

from milepost.registry.v1 import registry_pb2, registry_pb2_grpc
from milepost_agent.clients import HealthMonitor
from milepost_agent.conversion import entry_from, lease_expire_time, service_message
from milepost_agent.registry import DEFAULT_LEASE_SECONDS, Entry, Registry, check_entry
from milepost_service.errors import AlreadyExistsError

Context = grpc.aio.ServicerContext[object, object]


RIVAL_CHECK_SECONDS = 1.0
NEW_CHECK_SECONDS = 1.5
"""With the time for the other one within the 3 s that a service waits for the answer to its registration."""


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    def __init__(self, registry: Registry, health: HealthMonitor) -> None:
        self._registry = registry
        self._health = health

    async def Register(self, request: registry_pb2.RegisterRequest, context: Context) -> registry_pb2.RegisterResponse:
        service = entry_from(request.service)
        check_entry(service)
        lease = request.lease.ToTimedelta().total_seconds() if request.HasField("lease") else DEFAULT_LEASE_SECONDS
        await self._require_free(service)
        entry = self._registry.register(service, lease)
        if not entry.healthy:
            await self._health.check(entry, NEW_CHECK_SECONDS)
        return registry_pb2.RegisterResponse(lease_expire_time=lease_expire_time(self._registry, entry))

    async def _require_free(self, service: Entry) -> None:
        """Refuses to take a name from a process that serves under it; one that ended or hangs gives way at once."""
        known = self._registry.get(service.name)
        if known and known.healthy and known.target != service.target:
            await self._health.check(known, RIVAL_CHECK_SECONDS)
            known = self._registry.get(service.name)
        if known and known.healthy and known.target != service.target:
            raise AlreadyExistsError(
                f"service.name: {service.name!r} is served at {known.target}; "
                "allowed: another name, or this one once that process has ended"
            )

    async def Deregister(
        self, request: registry_pb2.DeregisterRequest, context: Context
    ) -> registry_pb2.DeregisterResponse:
        self._registry.deregister(request.name, request.target)
        return registry_pb2.DeregisterResponse()

    async def ListServices(
        self, request: registry_pb2.ListServicesRequest, context: Context
    ) -> registry_pb2.ListServicesResponse:
        services = [
            service_message(self._registry, entry)
            for entry in self._registry.entries()
            if not request.capability or request.capability in entry.capabilities
        ]
        return registry_pb2.ListServicesResponse(services=services)

    async def WatchServices(
        self, request: registry_pb2.WatchServicesRequest, context: Context
    ) -> AsyncIterator[registry_pb2.WatchServicesResponse]:
        async for entry in self._registry.watch():
            yield registry_pb2.WatchServicesResponse(service=service_message(self._registry, entry))
