"""The gateway in the cluster as a browser uses it: requests, and the stream of events."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from e2e_cluster import Cluster, Object, ready_pods
from e2e_install import NAMESPACE
from e2e_tunnel import Tunnel

SELECTOR = "app.kubernetes.io/part-of=milepost,app.kubernetes.io/component=gateway"
NAME = "milepost-gateway"
PORT = 8400
PATIENCE_SECONDS = 240.0
SILENCE_SECONDS = 90.0
"""Longer than the time between two heartbeats, and than a new pod of an agent needs."""


@dataclass(frozen=True)
class Sent:
    """One event of the stream; `id` is where to go on after it."""

    name: str
    data: Any
    id: str


class GatewayClient:
    """Asks the gateway's pod through the API server."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._tunnel = Tunnel(NAMESPACE, lambda: str(self.pod()["metadata"]["name"]), PORT)
        # A connection that is kept leads to the pod that it was made to, which may be gone by the next request.
        limits = httpx.Limits(max_keepalive_connections=0)
        transport = httpx.HTTPTransport(uds=self._tunnel.target.removeprefix("unix:"), retries=3, limits=limits)
        self._http = httpx.Client(transport=transport, base_url="http://gateway", timeout=30)
        secret = cluster.get("Secret", NAME, NAMESPACE)
        self.token = base64.b64decode(secret["data"]["token"]).decode()

    def close(self) -> None:
        self._http.close()
        self._tunnel.close()

    def pod(self) -> Object:
        """Raises IndexError when none is ready."""
        return ready_pods(self._cluster.pods(NAMESPACE, SELECTOR))[0]

    def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> httpx.Response:
        """One request; with the token of the chart's Secret unless another one, or none (""), is given."""
        token = self.token if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self._http.request(method, path, json=body, headers=headers)

    def get(self, path: str) -> Any:
        return self.ask("GET", path).raise_for_status().json()

    def agents(self) -> dict[str, Any]:
        """What the gateway says of each agent, by its id."""
        return {each["agent"]: each for each in self.get("/api/agents")["agents"]}

    def reachable(self) -> set[str]:
        return {name for name, each in self.agents().items() if each["reachable"]}

    @contextmanager
    def stream(self, after: str = "") -> Iterator[Iterator[Sent]]:
        """The events, from now on or after an id."""
        headers = {"Last-Event-ID": after} if after else {}
        timeout = httpx.Timeout(30, read=SILENCE_SECONDS)
        with self._http.stream("GET", "/api/stream", headers=headers, timeout=timeout) as response:
            response.raise_for_status()
            yield _events(response)


def _events(response: httpx.Response) -> Iterator[Sent]:
    name = data = position = ""
    until = time.monotonic() + PATIENCE_SECONDS
    for line in response.iter_lines():
        assert time.monotonic() < until, f"the stream did not bring what was waited for in {PATIENCE_SECONDS:.0f} s"
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data = value
        elif field == "id":
            position = value
        elif not line and name:
            yield Sent(name, json.loads(data), position)
            name = ""
