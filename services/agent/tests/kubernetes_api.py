"""The list and watch of Services as an API server answers them, over plain HTTP, with faults on demand."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit


def service(name: str, *capabilities: str, namespace: str = "team", **changes: Any) -> dict[str, Any]:
    """A Service as the operator makes it for a ready ModelService."""
    labels = {"milepost.dev/registry": "true"} | {f"capability.milepost.dev/{tag}": "true" for tag in capabilities}
    annotations = {
        "milepost.dev/capabilities": json.dumps(list(capabilities)),
        "milepost.dev/description": f"does {name}",
        "milepost.dev/examples": json.dumps([f"please {name}"]),
    }
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels | changes.get("labels", {}),
            "annotations": annotations | changes.get("annotations", {}),
        },
        "spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 80, "name": "http"}, {"port": 50052, "name": "grpc"}]}
        | changes.get("spec", {}),
    }


class KubernetesApi:
    """One namespace's Services. `refusal` answers every request with that status; `tokens` are what it accepts."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.oldest = 0
        self.refusal: tuple[int, str] | None = None
        self.refuse_watch: tuple[int, str] | None = None
        self.tokens = {"first"}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._history: list[tuple[int, dict[str, Any]]] = []
        self._watches: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def lists(self) -> int:
        return sum("watch" not in query for _, query in self.requests)

    @property
    def watches(self) -> int:
        return sum("watch" in query for _, query in self.requests)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server:
            self._server.close()
            self.cut()
            await self._server.wait_closed()

    def cut(self) -> None:
        """Breaks every connection, as a restarted API server does."""
        for writer in self._connections:
            writer.transport.abort()
        self.end_watches()

    def end_watches(self) -> None:
        """Ends every watch in order, as the server does after `timeoutSeconds`."""
        for queue in self._watches:
            queue.put_nowait(None)

    def put(self, body: dict[str, Any]) -> None:
        kind = "MODIFIED" if body["metadata"]["name"] in self.services else "ADDED"
        self.services[body["metadata"]["name"]] = self._stamped(body)
        self._announce(kind, body)

    def delete(self, name: str) -> None:
        """Also what a watch with a selector says when a Service loses its label."""
        self._announce("DELETED", self._stamped(self.services.pop(name)))

    def forget_history(self) -> None:
        """Watches from versions before now are 410 Gone; those that run are told so and end."""
        self.version += 1
        self.oldest = self.version
        self._announce("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
        self.end_watches()

    def bookmark(self) -> None:
        self.version += 1
        self._announce("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})

    def _stamped(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        return body

    def _announce(self, kind: str, body: dict[str, Any]) -> None:
        event = {"type": kind, "object": body}
        if kind in ("ADDED", "MODIFIED", "DELETED"):
            self._history.append((self.version, event))
        for queue in self._watches:
            queue.put_nowait(event)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while line := (await reader.readline()).decode():
                headers = {}
                while header := (await reader.readline()).decode().strip():
                    name, _, value = header.partition(": ")
                    headers[name.lower()] = value
                await self._answer(line.split()[1], headers, writer)
                await writer.drain()
        except OSError:
            pass
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _answer(self, target: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        address = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        self.requests.append((address.path, query))
        status, body = self._judge(headers, query)
        if status == 200 and "watch" in query:
            await self._watch(writer, int(query["resourceVersion"]))
            return
        data = json.dumps(body).encode()
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)

    def _judge(self, headers: dict[str, str], query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if self.refusal:
            return self.refusal[0], {"kind": "Status", "message": self.refusal[1]}
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return 401, {"kind": "Status", "message": "Unauthorized"}
        if "watch" in query:
            if self.refuse_watch:
                return self.refuse_watch[0], {"kind": "Status", "message": self.refuse_watch[1]}
            gone = int(query["resourceVersion"]) < self.oldest
            return (410, {"kind": "Status", "message": "too old resource version"}) if gone else (200, {})
        names = sorted(self.services)
        start = int(query.get("continue", "0"))
        end = start + min(int(query["limit"]), 2)
        page = [self.services[name] for name in names[start:end]]
        more = {"continue": str(end)} if end < len(names) else {}
        return 200, {"items": page, "metadata": {"resourceVersion": str(self.version), **more}}

    async def _watch(self, writer: asyncio.StreamWriter, since: int) -> None:
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        for version, event in self._history:
            if version > since:
                queue.put_nowait(event)
        self._watches.add(queue)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while event := await queue.get():
                data = json.dumps(event).encode() + b"\n"
                writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        finally:
            self._watches.discard(queue)


@asynccontextmanager
async def kubernetes_api() -> AsyncIterator[KubernetesApi]:
    api = KubernetesApi()
    await api.start()
    try:
        yield api
    finally:
        await api.stop()
