"""The life of a gRPC process: bind, load, serve, drain, stop."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from milepost.registry.v1 import registry_pb2
from milepost_service import telemetry
from milepost_service.call_memory import CallMemory, CallMemoryInterceptor
from milepost_service.channels import SIZE_OPTIONS
from milepost_service.errors import ConfigurationError, ProcessMustEnd
from milepost_service.fencing import Fence, FenceInterceptor
from milepost_service.interceptors import GateInterceptor, StatusInterceptor, TraceInterceptor
from milepost_service.logs import begin_logging, configure_logging, last_word
from milepost_service.observability import ModeInterceptor, ProcessObservability
from milepost_service.registration import Registrar
from milepost_service.serving_stats import ServingStats
from milepost_service.settings import ProcessSettings, ServiceSettings, split_address

_SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    *SIZE_OPTIONS,
    ("grpc.so_reuseport", 0),  # a second process on the same port must fail, not share it
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_log = logging.getLogger(__name__)

LIVENESS = "liveness"
"""Health service name that is SERVING from the moment the port is bound until the process ends."""

MUST_END = 3
"""Exit code of a process that ended by itself, so that it is started anew."""

Hook = Callable[[], Awaitable[None]]


class SayReady(Protocol):
    """Sets whether the process is ready, as the health service with the empty name tells it."""

    def __call__(self, *, ready: bool) -> Awaitable[None]: ...


class _ServiceNames:
    """Passes registrations on to the server and remembers the names, for reflection and health."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Any) -> None:
        self.names.append(service_name)
        self._server.add_registered_method_handlers(service_name, method_handlers)


async def serve(
    settings: ProcessSettings,
    *,
    name: str,
    add_servicers: Callable[[grpc.aio.Server], None],
    start: Hook | None = None,
    doing: Callable[[], str] = str,
    drain: Hook | None = None,
    attend: Callable[[SayReady], Awaitable[None]] | None = None,
    stop_beside: Callable[[float], Awaitable[None]] | None = None,
    calls: CallMemory | None = None,
    stats: ServingStats | None = None,
    registration: Callable[[], registry_pb2.Service] | None = None,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    records_spans: bool = True,
) -> None:
    """Serves until SIGTERM or SIGINT, then drains and returns.

    The port is bound before anything is loaded (busy: ConfigurationError); until `start` has returned, health is
    NOT_SERVING and calls are UNAVAILABLE, with what `doing` says. With `registration` (asked after `start`) the process
    registers with the settings' registries. With `attend`, which begins after `start` and is cancelled by the signal,
    the process is ready when and for as long as that says; a ProcessMustEnd that leaves it stops the process as a
    signal does. At the signal health is NOT_SERVING for good, the registration is taken back, `drain` runs, and calls
    in progress get `grace_seconds`, which `stop_beside` is given for what answers beside gRPC; a second signal ends all
    at once. The health service `liveness` is SERVING through all of that. A call with an id is answered through
    `calls`; one of a displaced owner is refused. All are counted in `stats`. Without `records_spans` a call makes no
    span of this process; its caller's context is passed on.

    Raises:
        ProcessMustEnd: what left `attend`.
    """
    configure_logging(settings, name=name)
    if records_spans:
        telemetry.setup(name)
    calls, stats = calls or CallMemory(), stats or ServingStats()
    gate = GateInterceptor(name, doing)
    own = (TraceInterceptor(), StatusInterceptor(stats), gate, FenceInterceptor(Fence(), calls.displace))
    # An agent decides by itself; what serves agents follows them.
    follows = [ModeInterceptor()] if isinstance(settings, ServiceSettings) else []
    server = grpc.aio.server(
        options=_SERVER_OPTIONS, interceptors=[*follows, *own, CallMemoryInterceptor(calls), *interceptors]
    )
    _bind(server, settings.listen)
    signals = _Signals()
    health_servicer = await _add_services(server, add_servicers, stats)
    registrar = _registrar(settings, registration)
    await server.start()
    observability = ProcessObservability(settings, name)
    must_end: ProcessMustEnd | None = None
    try:
        if await signals.before(start() if start else None):
            gate.open()
            _log.info("serving on %s", settings.listen)
            if registrar:
                await registrar.start()
            must_end = await _attend(signals, (attend or _ready_at_once)(health_servicer.say))
            _log.info("stopping")
        await health_servicer.say(ready=False)
        if registrar:
            await registrar.stop()
        if drain:
            await signals.unless_second(drain())
        if must_end:
            raise must_end
    finally:
        await signals.unless_second(_stop(server, stop_beside, settings.grace_seconds))
        await server.stop(0)
        await signals.unless_second(calls.close())
        await signals.unless_second(observability.close())
        signals.close()


async def _stop(
    server: grpc.aio.Server, stop_beside: Callable[[float], Awaitable[None]] | None, grace_seconds: float
) -> None:
    await asyncio.gather(server.stop(grace_seconds), *([stop_beside(grace_seconds)] if stop_beside else []))


async def standby(
    settings: ProcessSettings,
    *,
    name: str,
    until: Awaitable[None],
    add_servicers: Callable[[grpc.aio.Server], None] = lambda _: None,
) -> bool:
    """Lives at the port, never ready, until `until` has returned; False when a signal came first.

    For what must be waited for before there is anything to `serve`; the servicers can only say so.
    """
    configure_logging(settings, name=name)
    server = grpc.aio.server(options=_SERVER_OPTIONS)
    _bind(server, settings.listen)
    signals = _Signals()
    await _add_services(server, add_servicers, ServingStats())
    await server.start()
    try:
        return await signals.before(until)
    finally:
        await server.stop(0)
        signals.close()


def run(main: Coroutine[Any, Any, None], *, name: str) -> None:
    """Runs a process to its end; a ConfigurationError is one line on stderr and exit code 2, a ProcessMustEnd 3."""
    begin_logging(name)
    try:
        asyncio.run(main)
    except (ConfigurationError, ProcessMustEnd) as error:
        last_word(name, str(error))
        raise SystemExit(MUST_END if isinstance(error, ProcessMustEnd) else 2) from None
    except KeyboardInterrupt:
        raise SystemExit(0) from None
    finally:
        telemetry.shutdown()


def _bind(server: grpc.aio.Server, listen: str) -> None:
    host, port = split_address(listen)
    with _quiet_core():
        try:
            server.add_insecure_port(listen)
        except RuntimeError:
            raise ConfigurationError(
                f"MILEPOST_LISTEN: port {port} is in use, or {host} is not an address of this machine; "
                "allowed: a free port of a local address"
            ) from None


@contextlib.contextmanager
def _quiet_core() -> Iterator[None]:
    """gRPC's core writes its own lines about a busy port to file descriptor 2; ours says it better."""
    saved = os.dup(2)
    with Path(os.devnull).open("wb") as sink:
        os.dup2(sink.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


class _Health(health.aio.HealthServicer):  # type: ignore[misc] # grpc_health ships no types
    def __init__(self, services: Sequence[str], stats: ServingStats) -> None:
        super().__init__()
        self._stats = stats
        self._services = ("", *services)

    async def say(self, *, ready: bool) -> None:
        """Whether the process serves; that it lives goes without saying."""
        self._stats.ready = ready
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in self._services:
            await self.set(service, status)
        await self.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)


async def _attend(signals: "_Signals", attending: Awaitable[None]) -> ProcessMustEnd | None:
    """Lasts until the first signal, or until the process must end."""
    try:
        await signals.before(attending)
        await signals.first.wait()
    except ProcessMustEnd as error:
        return error
    return None


async def _ready_at_once(say: SayReady) -> None:
    await say(ready=True)


async def _add_services(
    server: grpc.aio.Server, add_servicers: Callable[[grpc.aio.Server], None], stats: ServingStats
) -> _Health:
    named = _ServiceNames(server)
    add_servicers(cast(grpc.aio.Server, named))
    health_servicer = _Health(named.names, stats)
    await health_servicer.say(ready=False)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    reflection.enable_server_reflection((*named.names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return health_servicer


def _registrar(settings: ProcessSettings, registration: Callable[[], registry_pb2.Service] | None) -> Registrar | None:
    if registration is None or not isinstance(settings, ServiceSettings):
        return None
    return Registrar(settings.registries, registration)


class _Signals:
    """SIGTERM and SIGINT as events: the first asks to stop, the second to hurry.

    Not by the event loop's own signal handlers: it takes those back to the default when it closes, and a signal
    that comes then would kill a process that is stopping cleanly.
    """

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self._second = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._receiver, self._sender = socket.socketpair()
        for end in (self._receiver, self._sender):
            end.setblocking(False)
        self._loop.add_reader(self._receiver, self._received)
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, lambda *_: None) for number in _STOP_SIGNALS}

    def _received(self) -> None:
        for number in self._receiver.recv(64):
            if number in _STOP_SIGNALS:
                (self._second if self.first.is_set() else self.first).set()

    async def before(self, work: Awaitable[None] | None) -> bool:
        """Runs `work`; True if it ended before the first signal, which cancels it."""
        return work is None or await _race(work, self.first)

    async def unless_second(self, work: Awaitable[None]) -> bool:
        """Runs `work` until it ends or the second signal comes."""
        return await _race(work, self._second)

    def close(self) -> None:
        """Gives the signals back; ignores them from now on when the process was told to stop and is doing so."""
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self.first.is_set() else handler)
        signal.set_wakeup_fd(-1)
        self._loop.remove_reader(self._receiver)
        self._receiver.close()
        self._sender.close()


async def _race(work: Awaitable[None], event: asyncio.Event) -> bool:
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return True
        return False
    finally:
        waiter.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
