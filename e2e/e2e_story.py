"""What one story works with: a namespace of its own, and clients that are closed at its end."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e_agent import AgentClient, ServiceClient
from e2e_cluster import Cluster, Object
from e2e_install import namespace_manifest
from e2e_manifests import Manifest, scripted

WORKER = "app=worker"


class Story:
    """A new namespace named after `title`."""

    def __init__(self, cluster: Cluster, title: str, tag: str) -> None:
        self.cluster = cluster
        self.tag = tag
        self.namespace = f"e2e-{re.sub('[^a-z0-9]+', '-', title.lower())[:40].strip('-')}-{secrets.token_hex(2)}"
        self._open: list[AgentClient | ServiceClient] = []
        cluster.apply(namespace_manifest(self.namespace))

    def close(self, *, keep: bool) -> None:
        for each in self._open:
            each.close()
        if not keep:
            self.cluster.delete("Namespace", self.namespace)

    def image(self, role: str) -> str:
        return f"milepost-{role}:{self.tag}"

    def apply(self, *manifests: Manifest) -> None:
        for manifest in manifests:
            self.cluster.apply(manifest, self.namespace)

    def apply_files(self, folder: Path) -> None:
        self.cluster.apply_files(folder, self.namespace)

    def scripted(self) -> None:
        """A counting service for every role of the cyclic workflow."""
        self.apply(*scripted(self.image("tools")))

    def wait_ready(self, *names: tuple[str, str], within: float = 180) -> None:
        """Until each (kind, name) says Ready=True for its present generation."""
        for kind, name in names:
            self.cluster.wait_condition(kind, name, self.namespace, within=within)

    def condition(self, kind: str, name: str, condition: str, status: str, **more: Any) -> Object:
        return self.cluster.wait_condition(kind, name, self.namespace, condition, status, **more)

    def get(self, kind: str, name: str) -> Object:
        return self.cluster.get(kind, name, self.namespace)

    def patch(self, kind: str, name: str, patch: Mapping[str, Any]) -> Object:
        return self.cluster.patch(kind, name, self.namespace, patch)

    def delete(self, kind: str, name: str, **more: Any) -> None:
        self.cluster.delete(kind, name, self.namespace, **more)

    def pods(self, instance: str = "") -> list[Object]:
        """All pods, or those of one resource."""
        selector = f"app.kubernetes.io/instance={instance}" if instance else None
        return self.cluster.pods(self.namespace, selector)

    def agent(self, workflow: str = "flow", ordinal: int = 0) -> AgentClient:
        client = AgentClient(self.namespace, workflow, ordinal)
        self._open.append(client)
        return client

    def service(self, selector: str = WORKER) -> ServiceClient:
        client = ServiceClient(self.cluster, self.namespace, selector)
        self._open.append(client)
        return client
