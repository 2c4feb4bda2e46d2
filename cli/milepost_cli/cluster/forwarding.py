"""Local sockets that lead to pods: every connection that is accepted becomes a connection of its own to the pod.

So a gRPC channel to such a socket reconnects by itself, whether the pod was replaced or the API server restarted.
The sockets are Unix sockets in a folder that nobody else may enter, because whoever connects acts with the rights of
the user of this command; but for a page that a browser opens (`expose`).
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, Self

from milepost_cli.cluster.errors import DialError

CHUNK = 65536
LONGEST_FOLDER = 80  # bytes; a Unix socket's path may have 104 on some systems
SHORT = "/tmp"  # noqa: S108 - a folder of our own is made below it
STOP_PATIENCE = 5.0
ROUNDS_TO_CLOSE = 5
"""Rounds of the loop in which transports that were cut hear of their end: TLS has one transport above another."""

Accepted = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Stream(Protocol):
    """A connection to a pod; see PodStream."""

    async def receive(self) -> bytes: ...
    async def send(self, content: bytes) -> None: ...
    async def close(self) -> None: ...


class Dialer(Protocol):
    """Opens connections to pods. Raises DialError."""

    async def dial(self, pod: str, port: int) -> Stream: ...


class Forwarder:
    """Runs all forwardings of one command on a thread of its own, from `__init__` to `close`."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._folder = _private_folder()
        self._failures: dict[str, DialError] = {}
        self._reached: set[str] = set()
        self._servers: list[asyncio.Server] = []
        self._targets: dict[tuple[str, int], str] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="port-forwarding", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def target(self, pod: str, port: int) -> str:
        """gRPC target that leads to `port` of `pod`, which need not exist yet."""
        key = (pod, port)
        if key not in self._targets:
            path = self._folder / f"{len(self._servers)}"
            self._run(self._listen(pod, port, lambda accepted: asyncio.start_unix_server(accepted, path, limit=CHUNK)))
            self._targets[key] = f"unix:{path}"
        return self._targets[key]

    def expose(self, pod: str, port: int, host: str, local: int) -> None:
        """Lead from the port `local` of an address of this machine to `port` of `pod`. Raises OSError."""
        self._run(self._listen(pod, port, lambda accepted: asyncio.start_server(accepted, host, local, limit=CHUNK)))

    def failure(self, pod: str) -> DialError | None:
        """Why the last connection to `pod` could not be made, or None when it could."""
        return self._failures.get(pod)

    def reached(self, pod: str) -> bool:
        """Whether a connection to `pod` could be made before."""
        return pod in self._reached

    def close(self) -> None:
        """End all connections, the thread and the sockets."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(TimeoutError):
            self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_PATIENCE)
        if not self._thread.is_alive():
            self._loop.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(STOP_PATIENCE)

    async def _listen(self, pod: str, port: int, start: Callable[[Accepted], Awaitable[asyncio.Server]]) -> None:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            try:
                await self._forward(pod, port, reader, writer)
            finally:
                self._connections.discard(task)

        self._servers.append(await start(accepted))

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        for _ in range(ROUNDS_TO_CLOSE):
            await asyncio.sleep(0)

    async def _forward(self, pod: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            stream = await self._dialer.dial(pod, port)
            self._reached.add(pod)
            self._failures.pop(pod, None)
            try:
                await _until_either_ends(_upwards(reader, stream), _downwards(stream, writer))
            finally:
                await stream.close()
        except DialError as error:
            self._failures[pod] = error
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _upwards(reader: asyncio.StreamReader, stream: Stream) -> None:
    with contextlib.suppress(OSError):
        while content := await reader.read(CHUNK):
            await stream.send(content)


async def _downwards(stream: Stream, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while content := await stream.receive():
            writer.write(content)
            await writer.drain()


async def _until_either_ends(*directions: Coroutine[Any, Any, None]) -> None:
    """HTTP never half-closes a connection: when one direction ends, so does the other. Raises what ended it."""
    tasks = [asyncio.create_task(direction) for direction in directions]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _private_folder() -> Path:
    """Mode 0700, with a path short enough for a socket."""
    parent = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="milepost-", dir=parent if len(parent.encode()) <= LONGEST_FOLDER else SHORT))
