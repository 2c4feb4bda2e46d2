"""What the kubelet and Prometheus ask over HTTP.

Served by the loop that does the work, so that a stuck one is silent.
"""

from collections.abc import Callable, Sequence

from aiohttp import web

Problems = Callable[[], Sequence[str]]


class HealthServer:
    """`/healthz` and `/readyz` on one port, `/metrics` on another; a problem is a line of a 503."""

    def __init__(self, *, alive: Problems, ready: Problems, metrics: Callable[[], bytes]) -> None:
        self._alive = alive
        self._ready = ready
        self._metrics = metrics
        self._runners: list[web.AppRunner] = []
        self.ports: list[int] = []
        """Where it really listens, in the order in which it was asked to."""

    async def start(self, health_port: int, metrics_port: int) -> None:
        """Begins to listen on all addresses. Raises OSError."""
        health = web.Application()
        health.router.add_get("/healthz", lambda request: _verdict(self._alive()))
        health.router.add_get("/readyz", lambda request: _verdict(self._ready()))
        metrics = web.Application()
        metrics.router.add_get("/metrics", self._show)
        for application, port in ((health, health_port), (metrics, metrics_port)):
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            self._runners.append(runner)
            await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104 the kubelet asks from outside
            self.ports.append(runner.addresses[0][1])

    async def stop(self) -> None:
        """Stops listening."""
        for runner in self._runners:
            await runner.cleanup()

    async def _show(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def _verdict(problems: Sequence[str]) -> web.Response:
    return web.Response(status=503 if problems else 200, text="\n".join(problems) or "ok")
