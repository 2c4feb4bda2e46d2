"""RegistryService over gRPC: services come, renew their leases, and go."""

import re
from collections.abc import AsyncIterator

import grpc.aio

from milepost.registry.v1 import registry_pb2, registry_pb2_grpc
from milepost_agent.clients import HealthMonitor
from milepost_agent.conversion import entry_from, service_message, timestamp
from milepost_agent.registry import DEFAULT_LEASE_SECONDS, Registry
from milepost_agent.store import Store
from milepost_service.errors import InvalidArgumentError
from milepost_service.settings import split_address

Context = grpc.aio.ServicerContext[object, object]

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
CAPABILITY = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
MAX_EXAMPLES = 64
MAX_TEXT = 1024


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    def __init__(self, registry: Registry, health: HealthMonitor, store: Store) -> None:
        self._registry = registry
        self._health = health
        self._store = store

    async def Register(self, request: registry_pb2.RegisterRequest, context: Context) -> registry_pb2.RegisterResponse:
        check_service(request.service)
        lease = request.lease.ToTimedelta().total_seconds() if request.HasField("lease") else DEFAULT_LEASE_SECONDS
        known = self._registry.get(request.service.name)
        entry = self._registry.register(entry_from(request.service), lease)
        if known is None or known.target != entry.target or not entry.healthy:
            await self._health.check(entry)
            await self._store.save_services(self._registry.rows())
        return registry_pb2.RegisterResponse(lease_expire_time=timestamp(entry.lease_expires))

    async def Deregister(
        self, request: registry_pb2.DeregisterRequest, context: Context
    ) -> registry_pb2.DeregisterResponse:
        self._registry.remove(request.name)
        await self._store.save_services(self._registry.rows())
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


def check_service(service: registry_pb2.Service) -> None:
    """Refuses what cannot be called or routed to.

    Raises:
        InvalidArgumentError: names the field and what is allowed.
    """
    if not NAME.fullmatch(service.name):
        raise InvalidArgumentError(f"service.name: {service.name[:64]!r} is no RFC 1123 label of 1 to 63 characters")
    try:
        split_address(service.target)
    except ValueError as error:
        raise InvalidArgumentError(f"service.target: {error}") from None
    for capability in service.capabilities:
        if not CAPABILITY.fullmatch(capability):
            raise InvalidArgumentError(
                f"service.capabilities: {capability[:64]!r} is no tag; allowed: a-z, 0-9 and -, 1 to 40 characters"
            )
    if len(service.examples) > MAX_EXAMPLES:
        raise InvalidArgumentError(f"service.examples: has {len(service.examples)}; allowed: at most {MAX_EXAMPLES}")
    for text in (service.description, *service.examples):
        if len(text) > MAX_TEXT:
            raise InvalidArgumentError(f"service: a text has {len(text)} characters; allowed: at most {MAX_TEXT}")
