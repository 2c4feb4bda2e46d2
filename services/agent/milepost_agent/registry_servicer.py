"""RegistryService over gRPC: services come, renew their leases, and go."""

import logging
from collections.abc import AsyncIterator

import grpc.aio

from milepost.registry.v1 import registry_pb2, registry_pb2_grpc
from milepost_agent.clients import HealthMonitor
from milepost_agent.conversion import entry_from, service_message, timestamp
from milepost_agent.errors import StoreError
from milepost_agent.registry import DEFAULT_LEASE_SECONDS, Registry, check_entry
from milepost_agent.store import Store

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[object, object]


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    def __init__(self, registry: Registry, health: HealthMonitor, store: Store) -> None:
        self._registry = registry
        self._health = health
        self._store = store

    async def _save(self) -> None:
        try:
            await self._store.save_services(self._registry.rows())
        except StoreError as error:  # the registry goes on in memory
            log.warning("the registry was not stored: %s", error)

    async def Register(self, request: registry_pb2.RegisterRequest, context: Context) -> registry_pb2.RegisterResponse:
        service = entry_from(request.service)
        check_entry(service)
        lease = request.lease.ToTimedelta().total_seconds() if request.HasField("lease") else DEFAULT_LEASE_SECONDS
        known = self._registry.get(service.name)
        entry = self._registry.register(service, lease)
        if known is None or known.target != entry.target or not entry.healthy:
            await self._health.check(entry)
            await self._save()
        return registry_pb2.RegisterResponse(lease_expire_time=timestamp(entry.lease_expires))

    async def Deregister(
        self, request: registry_pb2.DeregisterRequest, context: Context
    ) -> registry_pb2.DeregisterResponse:
        self._registry.deregister(request.name)
        await self._save()
        return registry_pb2.DeregisterResponse()

    async def ListServices(
        self, request: registry_pb2.ListServicesRequest, context: Context
    ) -> registry_pb2.ListServicesResponse:
        services = [
            service_message(entry)
            for entry in self._registry.entries()
            if not request.capability or request.capability in entry.capabilities
        ]
        return registry_pb2.ListServicesResponse(services=services)

    async def WatchServices(
        self, request: registry_pb2.WatchServicesRequest, context: Context
    ) -> AsyncIterator[registry_pb2.WatchServicesResponse]:
        async for entry in self._registry.watch():
            yield registry_pb2.WatchServicesResponse(service=service_message(entry))
