"""A namespace without an API server: objects in a table, and pods that are agents on this machine."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

from cli_fake_agent import FakeAgent

from milepost_cli.cluster.errors import DialError, ForbiddenError
from milepost_cli.cluster.resources import API, LABEL_COMPONENT, LABEL_INSTANCE

NAMESPACE = "team"
LABEL_MANAGED = "app.kubernetes.io/managed-by"
PODS = ("review-loop-0", "review-loop-1")
"""The pods of the workflow in the namespace that is a fixture."""
Object = dict[str, Any]


class FakeApi:
    """Answers from `objects`, by path; a path that ends with the name of a list answers with what lies below it."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {f"/api/v1/namespaces/{NAMESPACE}": {"metadata": {"name": NAMESPACE}}}
        self.installed = True
        self.closed = False
        self.forbidden: set[str] = set()

    def get(self, path: str, **query: str) -> Mapping[str, Any] | None:
        if path in self.forbidden:
            raise ForbiddenError(f"cannot get {path}")
        return self.objects.get(path)

    def items(self, path: str, **query: str) -> list[Mapping[str, Any]] | None:
        if path.startswith(API) and not self.installed:
            return None
        if path in self.forbidden:
            raise ForbiddenError(f"cannot list {path}")
        if "/namespaces/" in path:
            found = [one for where, one in self.objects.items() if where.startswith(f"{path}/")]
        else:
            plural = path.rpartition("/")[2]
            found = [one for where, one in self.objects.items() if f"/{plural}/" in where]
        return [one for one in found if _has_labels(one, query.get("labelSelector", ""))]

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
            "metadata": {
                "name": name,
                "labels": {
                    LABEL_MANAGED: "milepost-operator",
                    LABEL_INSTANCE: instance,
                    LABEL_COMPONENT: component,
                },
            },
            "status": status or running,
        }

    def gateway(self, name: str, namespace: str = "milepost-system", prefix: str = "", **status: Any) -> None:
        """A pod of the gateway as the chart makes it, ready unless `status` says otherwise."""
        running = {"conditions": [condition("Ready", "True")], "containerStatuses": [container()]}
        env = {"MILEPOST_GATEWAY_TOKEN_FILE": "/etc/milepost/gateway/token", "MILEPOST_GATEWAY_PREFIX": prefix}
        labels = {"app.kubernetes.io/name": "milepost", LABEL_INSTANCE: "milepost", LABEL_COMPONENT: "gateway"}
        self.objects[f"/api/v1/namespaces/{namespace}/pods/{name}"] = {
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {
                "containers": [
                    {
                        "env": [{"name": each, "value": value} for each, value in env.items()],
                        "ports": [{"name": "http", "containerPort": 8400}],
                    }
                ],
                "volumes": [{"name": "tmp"}, {"name": "token", "secret": {"secretName": "milepost-gateway"}}],
            },
            "status": status or running,
        }

    def secret(self, namespace: str = "milepost-system", **texts: str) -> None:
        data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        self.objects[f"/api/v1/namespaces/{namespace}/secrets/milepost-gateway"] = {"data": data}

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


def _has_labels(one: Object, selector: str) -> bool:
    labels = one["metadata"].get("labels") or {}
    wanted = (part.split("=") for part in selector.split(",") if part)
    return all(labels.get(name) == value for name, value in wanted)


def condition(kind: str, status: str, reason: str = "AsItIs", message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def container(restarts: int = 0, **state: Any) -> Object:
    return {"restartCount": restarts, "state": state or {"running": {}}}
