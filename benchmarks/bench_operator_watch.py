"""When the children and conditions of resources were first seen, from watches that run beside the benchmark."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import urllib3
from kubernetes import client

from milepost_operator.cluster import OWNERS, ApiError, ResourceType
from milepost_operator.handlers import WATCHED
from milepost_operator.names import FIELD_MANAGER

CHILDREN = tuple(found for found in WATCHED if found.kind not in OWNERS and found.kind != "Pod")
EXPECTED = {"ModelService": 4, "AgentWorkflow": 8}
"""Children of the resources of this benchmark: without downloads a service has no claim."""
Named = tuple[str, str, str]


class Sightings:
    """Filled by one thread a watched type, read by the benchmark."""

    def __init__(self, configuration: client.Configuration) -> None:
        self._configuration = configuration
        configuration.connection_pool_maxsize = 20
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._client = client.ApiClient(configuration)
        self._lock = threading.Lock()
        self._begun: dict[Named, float] = {}
        self._children: dict[Named, set[str]] = {}
        self._complete: dict[Named, float] = {}
        self._told: dict[Named, float] = {}
        self._deleted: dict[Named, float] = {}
        self._repairs: dict[Named, float] = {}
        self._doomed: set[Named] = set()
        self._ended = threading.Event()
        self.last_child = 0.0

    def expect(self, kind: str, namespace: str, name: str) -> None:
        """A resource is about to be applied."""
        with self._lock:
            self._begun[kind, namespace, name] = time.monotonic()

    @property
    def complete(self) -> int:
        """How many resources have all their children."""
        return len(self._complete)

    async def wait(self, count: int, seconds: float) -> None:
        """Until so many resources have their children and conditions."""
        deadline = time.monotonic() + seconds
        while len(self._complete) < count or len(self._told) < count:
            if time.monotonic() > deadline:
                raise SystemExit(f"bench-operator: only {len(self._complete)} with children, {len(self._told)} told of")
            await asyncio.sleep(0.02)

    def take(self) -> tuple[list[float], list[float]]:
        """Seconds to the children and to the conditions of each resource so far; they are forgotten."""
        with self._lock:
            children = [moment - self._begun[key] for key, moment in self._complete.items()]
            conditions = [moment - self._begun[key] for key, moment in self._told.items()]
            for known in (self._begun, self._complete, self._told):
                known.clear()
        return children, conditions

    def follow_repairs(self, doomed: Sequence[tuple[ResourceType, str, str]]) -> None:
        """These children are about to be deleted."""
        self._doomed = {(type_.kind, namespace, name) for type_, namespace, name in doomed}

    async def repaired(self, seconds: float) -> list[float]:
        """Seconds from each deletion until the child was there again."""
        deadline = time.monotonic() + seconds
        while len(self._repairs) < len(self._doomed):
            if time.monotonic() > deadline:
                raise SystemExit(f"bench-operator: {len(self._repairs)} of {len(self._doomed)} were repaired")
            await asyncio.sleep(0.1)
        return [self._repairs[key] - self._deleted[key] for key in self._doomed]

    def server_metrics(self) -> str:
        """What the API server tells of itself."""
        headers: dict[str, str] = {}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], "", "GET", None)
        url = f"{self._configuration.host}/metrics"
        return str(self._client.rest_client.pool_manager.request("GET", url, headers=headers).data.decode())

    @contextmanager
    def following(self, types: Sequence[ResourceType]) -> Iterator[None]:
        """Watches these types, and the resources themselves."""
        for type_ in (*types, *OWNERS.values()):
            threading.Thread(target=self._watch, args=(type_,), daemon=True).start()
        try:
            yield
        finally:
            self._ended.set()

    def _watch(self, type_: ResourceType) -> None:
        labels = "" if type_.kind in OWNERS else f"&labelSelector=app.kubernetes.io/managed-by={FIELD_MANAGER}"
        headers: dict[str, str] = {"Accept": "application/json"}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], "", "GET", None)
        version = self._version(type_, headers, labels)
        while not self._ended.is_set():
            path = f"{type_.path(None)}?watch=true&resourceVersion={version}&timeoutSeconds=1800{labels}"
            pool = self._client.rest_client.pool_manager
            try:
                answer = pool.request("GET", self._configuration.host + path, headers=headers, preload_content=False)
                for line in _lines(answer):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        version = self._version(type_, headers, labels)
                        break
                    version = event["object"]["metadata"]["resourceVersion"]
                    self._see(type_, event["type"], event["object"])
            except (urllib3.exceptions.HTTPError, ValueError):
                time.sleep(0.2)

    def _version(self, type_: ResourceType, headers: dict[str, str], labels: str) -> str:
        url = f"{self._configuration.host}{type_.path(None)}?limit=1{labels}"
        answer = self._client.rest_client.pool_manager.request("GET", url, headers=headers)
        if answer.status != 200:
            raise ApiError(answer.status, "Unknown", f"{type_.plural} could not be listed")
        return str(json.loads(answer.data)["metadata"]["resourceVersion"])

    def _see(self, type_: ResourceType, event: str, found: Any) -> None:
        now, metadata = time.monotonic(), found["metadata"]
        key = (type_.kind, metadata["namespace"], metadata["name"])
        with self._lock:
            if key in self._doomed:
                (self._deleted if event == "DELETED" else self._repairs).setdefault(key, now)
            if type_.kind in OWNERS:
                if key in self._begun and (found.get("status") or {}).get("conditions"):
                    self._told.setdefault(key, now)
                return
            owner = next((each for each in metadata.get("ownerReferences", ()) if each.get("controller")), None)
            if event != "ADDED" or owner is None:
                return
            parent = (owner["kind"], metadata["namespace"], owner["name"])
            children = self._children.setdefault(parent, set())
            children.add(f"{type_.kind}/{metadata['name']}")
            if len(children) >= EXPECTED.get(owner["kind"], 1) and parent in self._begun:
                self._complete.setdefault(parent, now)
                self.last_child = max(self.last_child, now)


def _lines(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    while chunk := answer.read1(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line)
