"""HTTP in the event loop of a process: a socket, and a server that leaves signals, logs and its end to its owner."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn

from milepost_service.errors import ConfigurationError
from milepost_service.settings import split_address

BACKLOG = 512
_CLOSING_SECONDS = 5.0
"""How long a connection that is being closed may take to deliver what is left of its answer, at least."""


_FAREWELL_SECONDS = 1.0


class QuietServer(uvicorn.Server):
    """Signals are the process's own: uvicorn would end it by the signal, and not with 0."""

    def __init__(self, app: Any, *, grace_seconds: int | None = None, connections: int | None = None) -> None:
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=connections,
                timeout_graceful_shutdown=grace_seconds,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves until it is stopped."""

    def __init__(self, server: QuietServer, listener: socket.socket) -> None:
        self._server = server
        self._serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
        self._reaping = asyncio.create_task(self._reap(), name="http connections")

    async def stop(self, grace_seconds: float) -> None:
        """Takes no further connections; requests in progress may go on for so long."""
        self._server.should_exit = True
        await asyncio.wait({self._serving}, timeout=grace_seconds)

    async def close(self) -> None:
        """Cancels the requests that still go on; they may say so to their clients, no longer than a moment."""
        self._server.should_exit = True
        left = list(self._server.server_state.tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_FAREWELL_SECONDS)
        self._server.force_exit = True
        self._reaping.cancel()
        await asyncio.gather(self._serving, self._reaping, return_exceptions=True)

    async def _reap(self) -> None:
        """A client that takes nothing more would keep its connection, and what was meant for it, for ever."""
        closing: set[Any] = set()
        while True:
            await asyncio.sleep(_CLOSING_SECONDS)
            transports = [connection.transport for connection in self._server.server_state.connections]
            for transport in closing.intersection(transports):
                transport.abort()
            closing = {transport for transport in transports if transport.is_closing()}


@contextlib.asynccontextmanager
async def http_served(app: Any, listener: socket.socket, *, connections: int) -> AsyncIterator[HttpServer]:
    """Inside, the application is served; more than so many connections and requests are refused with 503."""
    server = HttpServer(QuietServer(app, connections=connections), listener)
    try:
        yield server
    finally:
        await server.close()


@contextlib.contextmanager
def bound(listen: str, variable: str) -> Iterator[socket.socket]:
    """A listening socket at the address that the variable gives. Raises ConfigurationError."""
    host, port = split_address(listen)
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(found[0], found[1], found[2])
    except OSError as error:
        raise ConfigurationError(f"{variable}: {host} is no address of this machine: {error.strerror}") from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(found[4])
        except OSError as error:
            raise ConfigurationError(
                f"{variable}: {listen} cannot be listened to: {error.strerror}; allowed: a free port of a local address"
            ) from None
        listener.listen(BACKLOG)
        listener.setblocking(False)
        yield listener
