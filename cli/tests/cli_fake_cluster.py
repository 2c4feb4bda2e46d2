"""A namespace without an API server: objects in a table, and pods that are agents on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from cli_fake_agent import FakeAgent

from milepost_cli.cluster.errors import DialError
from milepost_cli.cluster.resources import API, LABEL_COMPONENT, LABEL_INSTANCE

NAMESPACE = "team"
PODS = ("review-loop-0", "review-loop-1")
"""The pods of the workflow in the namespace that is a fixture."""
Object = dict[str, Any]


class FakeApi:
    """Answers from `objects`, by path; a path that ends with the name of a list answers with what lies below it."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {f"/api/v1/namespaces/{NAMESPACE}": {"metadata": {"name": NAMESPACE}}}
        self.installed = True
        self.closed = False

    def get(self, path: str, **query: str) -> Mapping[str, Any] | None:
        return self.objects.get(path)

    def items(self, path: str, **query: str) -> list[Mapping[str, Any]] | None:
        if path.startswith(API) and not self.installed:
            return None
        if path == f"{API}/agentworkflows":
            return [one for where, one in self.objects.items() if "/agentworkflows/" in where]
        return [one for where, one in self.objects.items() if where.startswith(f"{path}/")]

    def denial(self, status: int, message: str) -> str:
        return f"{status}: {message}"

    def close(self) -> None:
        self.closed = True

    def workflow(self, name: str = "review-loop", replicas: int = 1, **status: Any) -> None:
        spec = {"pattern": "cyclic", "replicas": replicas, "steps": [{"name": "code", "role": "coder"}]}
        self._add("agentworkflows", name, {"spec": spec, "status": status})

    def service(self, name: str, **status: Any) -> None:
        self._add(
            "modelservices", name, {"spec": {"capabilities": ["rag"], "description": "Looks up"}, "status": status}
        )

    def pod(self, name: str, instance: str, component: str = "agent", **status: Any) -> None:
        running = {"phase": "Running", "conditions": [condition("Ready", "True")], "containerStatuses": [container()]}
        self.objects[f"/api/v1/namespaces/{NAMESPACE}/pods/{name}"] = {
            "metadata": {"name": name, "labels": {LABEL_INSTANCE: instance, LABEL_COMPONENT: component}},
            "status": status or running,
        }

    def _add(self, plural: str, name: str, body: Object) -> None:
        metadata = {"name": name, "namespace": NAMESPACE}
        self.objects[f"{API}/namespaces/{NAMESPACE}/{plural}/{name}"] = {"metadata": metadata, **body}


class FakeDialer:
    """Leads to the agents of `agents`, by the name of the pod; `refusal` is what happens instead."""

    def __init__(self, agents: Mapping[str, FakeAgent]) -> None:
        self.agents = agents
        self.dialled: list[str] = []
        self.refusal: DialError | None = None
        self.takes = 0.0  # seconds to connect

    async def dial(self, pod: str, port: int) -> SocketStream:
        self.dialled.append(pod)
        await asyncio.sleep(self.takes)
        if self.refusal is not None:
            raise self.refusal
        if pod not in self.agents:
            raise DialError(f"pods {pod} not found")
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.agents[pod].port)
        except OSError as error:
            raise DialError(f"pod {pod}: connection refused") from error
        return SocketStream(reader, writer)


class SocketStream:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> bytes:
        return await self._reader.read(65536)

    async def send(self, content: bytes) -> None:
        self._writer.write(content)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()


def condition(kind: str, status: str, reason: str = "AsItIs", message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def container(restarts: int = 0, **state: Any) -> Object:
    return {"restartCount": restarts, "state": state or {"running": {}}}
