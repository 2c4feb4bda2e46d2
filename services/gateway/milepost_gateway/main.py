"""`milepost-gateway`: wiring, and the life of the process."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator

from milepost_gateway.addresses import Agents, StaticAgents
from milepost_gateway.app import Gateway
from milepost_gateway.settings import GatewaySettings
from milepost_service import telemetry
from milepost_service.http_server import QuietServer, bound
from milepost_service.kubernetes.access import ApiAccess
from milepost_service.logs import configure_logging
from milepost_service.observability import ProcessObservability, add_metrics
from milepost_service.server import run

NAME = "gateway"
STOP_SECONDS = 1
"""How long requests may go on after SIGTERM; streams end at once."""
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_log = logging.getLogger(__name__)


async def serve_gateway(settings: GatewaySettings, agents: Agents) -> None:
    """Serves until SIGTERM or SIGINT. Raises ConfigurationError when the port cannot be had."""
    configure_logging(settings, name=NAME)
    telemetry.setup(NAME)
    gateway = Gateway(settings, agents)
    server = QuietServer(gateway.app, grace_seconds=STOP_SECONDS)

    def stop() -> None:
        gateway.hub.close()
        server.force_exit = server.should_exit
        server.should_exit = True

    with bound(settings.listen, "MILEPOST_LISTEN") as listener, _on_signals(stop):
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
