"""Keeps this process registered with the agents that may call it, whether or not they are up."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

import grpc.aio
from google.protobuf.duration_pb2 import Duration

from milepost.registry.v1 import registry_pb2, registry_pb2_grpc
from milepost_service.channels import open_channel

LEASE_SECONDS = 15
RENEW_SECONDS = 5.0
_CALL_SECONDS = 3.0
_FIRST_BACKOFF = 0.2
_LONGEST_BACKOFF = 1.0
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_log = logging.getLogger(__name__)


class Registrar:
    """Registers `service()` with every registry target, and again before the lease runs out.

    A registry that is down or refuses is tried again with backoff, 0.2 s doubling to 1 s. `service` is called
    for each registration, so that its details may change.
    """

    def __init__(
        self,
        targets: Sequence[str],
        service: Callable[[], registry_pb2.Service],
        *,
        renew_seconds: float = RENEW_SECONDS,
    ) -> None:
        self._targets = tuple(targets)
        self._renew_seconds = renew_seconds
        self._service = service
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to register; returns at once."""
        self._tasks = [asyncio.create_task(self._keep_registered(target)) for target in self._targets]

    async def stop(self) -> None:
        """Ends renewal and deregisters where the registry answers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks:
            await asyncio.gather(*(self._deregister(target) for target in self._targets))
        self._tasks = []

    async def _keep_registered(self, target: str) -> None:
        backoff, refusal = _FIRST_BACKOFF, ""
        registered = False
        async with open_channel(target) as channel:
            stub = registry_pb2_grpc.RegistryServiceStub(channel)
            while True:
                try:
                    await stub.Register(self._request(), timeout=_CALL_SECONDS)
                except grpc.aio.AioRpcError as error:
                    told = f"{error.code().name} {error.details()}"
                    news = registered or (error.code() not in _AWAY and told != refusal)
                    _log.log(logging.WARNING if news else logging.DEBUG, "registry %s: %s", target, told)
                    registered, refusal, pause = False, told, backoff
                    backoff = min(backoff * 2, _LONGEST_BACKOFF)
                else:
                    if not registered:
                        _log.info("registered with %s", target)
                    registered, pause, backoff = True, self._renew_seconds, _FIRST_BACKOFF
                await asyncio.sleep(pause)

    def _request(self) -> registry_pb2.RegisterRequest:
        return registry_pb2.RegisterRequest(service=self._service(), lease=Duration(seconds=LEASE_SECONDS))

    async def _deregister(self, target: str) -> None:
        service = self._service()
        request = registry_pb2.DeregisterRequest(name=service.name, target=service.target)
        async with open_channel(target) as channel:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await registry_pb2_grpc.RegistryServiceStub(channel).Deregister(request, timeout=1.0)
