"""Whether the agents know the services: only then is a first run sure to find them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence, Set

import grpc

from milepost.registry.v1 import registry_pb2, registry_pb2_grpc
from milepost_cli.probing import CHANNEL_OPTIONS

PATIENCE = 15.0


async def wait_until_registered(
    agents: Sequence[str], services: Set[str], stop: asyncio.Event, patience: float = PATIENCE
) -> set[str]:
    """Wait until every agent (gRPC target) reports all `services` ready; returns those missing after `patience` s."""
    deadline = time.monotonic() + patience
    missing: set[str] = set()
    for target in agents:
        async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
            stub = registry_pb2_grpc.RegistryServiceStub(channel)
            while lacking := set(services) - await _ready(stub):
                if stop.is_set() or time.monotonic() > deadline:
                    missing |= lacking
                    break
                await asyncio.sleep(0.1)
    return missing


async def _ready(stub: registry_pb2_grpc.RegistryServiceAsyncStub) -> set[str]:
    try:
        answer = await stub.ListServices(registry_pb2.ListServicesRequest(), timeout=2)
    except grpc.aio.AioRpcError:
        return set()
    return {service.name for service in answer.services if service.state == registry_pb2.SERVICE_STATE_READY}
