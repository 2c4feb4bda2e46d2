"""The two CustomResourceDefinitions by themselves, for tests that bring their own operator or none."""

from __future__ import annotations

import yaml

from e2e_cluster import Cluster, Object, condition_of
from e2e_manifests import ROOT
from e2e_waiting import eventually

KIND = "CustomResourceDefinition"


class Definitions:
    """Those that were missing, as long as nobody installs Milepost."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._made: list[str] = []

    def make(self) -> None:
        for file in sorted((ROOT / "crds").glob("*.yaml")):
            definition = yaml.safe_load(file.read_text())
            name = definition["metadata"]["name"]
            if self._cluster.find(KIND, name) is None:
                self._cluster.apply(definition)
                self._made.append(name)
                eventually(f"{name} is served", lambda name=name: self._cluster.get(KIND, name), served, within=30)

    def take_back(self) -> None:
        """Deletes what was made here, and waits: Helm takes over no definition that is not its own."""
        while self._made:
            self._cluster.delete_and_wait(KIND, self._made.pop(), within=120)


def served(definition: Object) -> bool:
    return condition_of(definition, "Established").get("status") == "True"
