"""`milepost-gateway`: wiring, and the life of the process."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from milepost_gateway.addresses import Agents, StaticAgents
from milepost_gateway.app import Gateway
from milepost_gateway.settings import GatewaySettings
from milepost_service import telemetry
from milepost_service.errors import ConfigurationError
from milepost_service.kubernetes.access import ApiAccess
from milepost_service.logs import configure_logging
from milepost_service.observability import ProcessObservability, add_metrics
from milepost_service.server import run
from milepost_service.settings import split_address

NAME = "gateway"
STOP_SECONDS = 1
"""How long requests may go on after SIGTERM; streams end at once."""
BACKLOG = 512
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are this process's own: uvicorn would end it by the signal, and not with 0."""
        yield


async def serve_gateway(settings: GatewaySettings, agents: Agents) -> None:
    """Serves until SIGTERM or SIGINT. Raises ConfigurationError when the port cannot be had."""
    configure_logging(settings, name=NAME)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    telemetry.setup(NAME)
    gateway = Gateway(settings, agents)
    server = _Server(
        uvicorn.Config(
            gateway.app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )

    def stop() -> None:
        gateway.hub.close()
        server.force_exit = server.should_exit
        server.should_exit = True

    with bound(settings.listen) as listener, _on_signals(stop):
        _log.info("serving on http://%s%s/", settings.listen, settings.gateway_prefix)
        stop_metrics = add_metrics(gateway.metrics.collect)
        observability = ProcessObservability(settings, NAME)
        try:
            async with gateway.running():
                await server.serve(sockets=[listener])
        finally:
            await observability.close()
            stop_metrics()
        _log.info("stopped")


@contextlib.contextmanager
def bound(listen: str) -> Iterator[socket.socket]:
    """A listening socket at the address. Raises ConfigurationError."""
    host, port = split_address(listen)
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(found[0], found[1], found[2])
    except OSError as error:
        raise ConfigurationError(f"MILEPOST_LISTEN: {host} is no address of this machine: {error.strerror}") from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(found[4])
        except OSError as error:
            raise ConfigurationError(
                f"MILEPOST_LISTEN: {listen} cannot be listened to: {error.strerror}; "
                "allowed: a free port of a local address"
            ) from None
        listener.listen(BACKLOG)
        listener.setblocking(False)
        yield listener


@contextlib.contextmanager
def _on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Not by the event loop's own handlers: those are taken back before the process has ended."""
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
    try:
        yield
    finally:
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


async def _main() -> None:
    settings = GatewaySettings.load()
    await serve_gateway(settings, agents_of(settings))


def agents_of(settings: GatewaySettings) -> Agents:
    """Raises ConfigurationError when the agents of a cluster are wanted outside of one."""
    if settings.gateway_discovery == "list":
        return StaticAgents(settings.agents)
    # Imports the HTTP client of the Kubernetes API, which local mode does not need.
    from milepost_gateway.kubernetes_agents import KubernetesAgents  # noqa: PLC0415

    access = ApiAccess.in_cluster("", "MILEPOST_GATEWAY_DISCOVERY: kubernetes", "list")
    return KubernetesAgents(access, settings.namespaces)


def main() -> None:
    """Entry point."""
    run(_main(), name="milepost-gateway")
