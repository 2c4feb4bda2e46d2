"""Asks every known service for its health by the standard gRPC protocol, and those that are ready what they use.

Services are asked one by one, spread over a period, and not told to report: a stream that stays open would say nothing
of a process that hangs, and pings as frequent as would be needed are refused by servers that were not told of them.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.registry.v1 import registry_pb2
from milepost_agent.clients.services import ServiceClients
from milepost_agent.registry import Entry, Registry, ServiceUsage
from milepost_service.channels import unresolved

TICK_SECONDS = 0.25
CHECK_SECONDS = 2.0
LONGEST_CHECK_SECONDS = 6.0
CHECKS_A_SECOND = 50
CHECK_TIMEOUT_SECONDS = 3.0
USAGE_SECONDS = 5.0
USAGES_A_SECOND = 20
KEEP_SECONDS = 60.0
"""How often channels to services that are gone are closed."""


class HealthMonitor:
    """One watching task; a service that stops answering is out of the candidates within 10 s.

    That is LONGEST_CHECK_SECONDS + CHECK_TIMEOUT_SECONDS and a tick; below 100 services a check comes each
    CHECK_SECONDS.
    """

    def __init__(self, registry: Registry, clients: ServiceClients) -> None:
        self._registry = registry
        self._clients = clients
        self._task: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()
        self._looked = asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="health-monitor")

    async def first_look(self, patience: float) -> None:
        """Returns once every service was asked, or after `patience` seconds, when one of them does not answer."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._looked.wait(), patience)

    async def stop(self) -> None:
        for task in (self._task, *self._asking):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def check(self, entry: Entry, timeout: float = CHECK_TIMEOUT_SECONDS) -> None:
        """Checks one service now."""
        stub = health_pb2_grpc.HealthStub(self._clients.channel(entry.target))
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout, wait_for_ready=False)
            healthy = answer.status == health_pb2.HealthCheckResponse.SERVING
        except grpc.aio.AioRpcError as error:
            healthy = False
            if unresolved(error):
                await self._clients.renew(entry.target)
        self._registry.set_health(entry.name, entry.target, healthy)

    async def ask_usage(self, entry: Entry) -> None:
        """Asks one service what it uses. One that does not say keeps what it registered."""
        stub = capability_pb2_grpc.CapabilityServiceStub(self._clients.channel(entry.target))
        with contextlib.suppress(grpc.aio.AioRpcError):
            answer = await stub.GetUsage(capability_pb2.GetUsageRequest(), timeout=CHECK_TIMEOUT_SECONDS)
            self._registry.set_usage(entry.name, entry.target, usage_from(answer.usage))

    async def _run(self) -> None:
        await asyncio.gather(*(self.check(entry) for entry in self._registry.entries()))
        self._looked.set()
        checks = Rota(CHECK_SECONDS, CHECKS_A_SECOND, LONGEST_CHECK_SECONDS)
        usages = Rota(USAGE_SECONDS, USAGES_A_SECOND)
        kept = time.monotonic()
        while True:
            self._registry.expire()
            self._ask(checks.due(each.name for each in self._registry.entries()), self.check)
            self._ask(usages.due(each.name for each in self._registry.ready()), self.ask_usage)
            if time.monotonic() >= kept + KEEP_SECONDS:
                kept = time.monotonic()
                await self._clients.keep({entry.target for entry in self._registry.entries()})
            await asyncio.sleep(TICK_SECONDS)

    def _ask(self, names: Iterable[str], ask: Callable[[Entry], Coroutine[Any, Any, None]]) -> None:
        for name in names:
            if entry := self._registry.get(name):
                task = asyncio.create_task(ask(entry))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)


@dataclass
class Rota:
    """Whose turn it is: everyone once a period of `seconds`, or of up to `longest` when they are many.

    The first turn of each is at a random point of the period, so that they do not come all at once.
    """

    seconds: float
    a_second: float
    """How many are asked a second before the period grows."""
    longest: float = float("inf")
    now: Callable[[], float] = time.monotonic
    _due: dict[str, float] = field(default_factory=dict)

    def due(self, names: Iterable[str]) -> list[str]:
        """Those of `names` whose turn has come; who is not among them loses its place."""
        known = list(names)
        now = self.now()
        period = min(max(self.seconds, len(known) / self.a_second), self.longest)
        self._due = {name: self._due.get(name, now + period * random.random()) for name in known}  # noqa: S311
        turn = [name for name, when in self._due.items() if when <= now]
        self._due |= dict.fromkeys(turn, now + period)
        return turn


def usage_from(usage: registry_pb2.Usage) -> ServiceUsage:
    """What a service says of itself, in the registry's terms."""
    return ServiceUsage(**{each.name: getattr(usage, each.name) for each in fields(ServiceUsage)})
