"""Milepost installed by Helm: once for all stories, and anew by those that upgrade or uninstall it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e_cluster import Cluster, Object, ready_pods, run_program
from e2e_manifests import ROOT
from e2e_waiting import eventually

CHART = ROOT / "helm" / "milepost"
RELEASE = "milepost"
NAMESPACE = "milepost-system"
IN_SYSTEM = ("--namespace", NAMESPACE, "--create-namespace")
OPERATOR = "app.kubernetes.io/component=operator"
DEFINITIONS = ("agentworkflows.milepost.dev", "modelservices.milepost.dev")
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@dataclass
class Installation:
    """The release `milepost` in `milepost-system`, with images of `tag`."""

    cluster: Cluster
    tag: str
    seconds: float = 0.0
    """How long the first `helm install` took, up to a ready operator."""

    def refuse_another(self) -> None:
        """An AssertionError when somebody else's Milepost is in this cluster: two operators would fight."""
        for name in DEFINITIONS:
            found = self.cluster.find("CustomResourceDefinition", name)
            release = ((found or {}).get("metadata", {}).get("annotations") or {}).get("meta.helm.sh/release-namespace")
            assert found is None or release == NAMESPACE, (
                f"{name} is in this cluster and belongs to {release or 'nobody known'}: take it out or name another one"
            )

    def install(self, values: Mapping[str, str] | None = None, chart: Path = CHART) -> None:
        """`helm install`, or an upgrade of what is there, up to a ready operator."""
        started = time.monotonic()
        if not self.cluster.find("Namespace", NAMESPACE):
            self.cluster.apply(namespace_manifest(NAMESPACE))
        settings = {"images.tag": self.tag, **(values or {})}
        pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        self._helm("upgrade", "--install", RELEASE, str(chart), *pairs, "--wait", "--timeout", "180s")
        self.seconds = self.seconds or time.monotonic() - started

    def uninstall(self) -> None:
        self._helm("uninstall", RELEASE, "--wait", "--timeout", "120s")

    def remove(self) -> None:
        """Everything, with the definitions and so with every resource of their kinds."""
        self._helm("uninstall", RELEASE, "--ignore-not-found", "--wait", "--timeout", "120s")
        for name in DEFINITIONS:
            self.cluster.delete_and_wait("CustomResourceDefinition", name, within=120)
        self.cluster.delete("Namespace", NAMESPACE)

    def chart_version(self) -> str:
        listed = yaml.safe_load(self._helm("list", "--output", "yaml", "--filter", f"^{RELEASE}$"))
        return str(listed[0]["chart"]) if listed else ""

    def package(self, version: str, folder: Path) -> Path:
        """A copy of the chart under another version, whose definitions have no short names and columns yet."""
        copy = folder / f"chart-{version}"
        shutil.copytree(CHART, copy)
        for file in (copy / "files" / "crds").glob("*.yaml"):
            definition = yaml.safe_load(file.read_text())
            definition["spec"]["names"].pop("shortNames")
            definition["spec"]["versions"][0].pop("additionalPrinterColumns")
            file.write_text(yaml.safe_dump(definition))
        run_program(["helm", "package", str(copy), "--version", version, "--destination", str(folder)])
        return folder / f"milepost-{version}.tgz"

    def operator(self) -> Object:
        """The operator's ready pod. Raises LookupError."""
        return ready_pods(self.cluster.pods(NAMESPACE, OPERATOR))[0]

    def wait_operator(self, other_than: Object | None = None) -> Object:
        """Its ready pod, as soon as it is another one or another start of it."""
        before = _start_of(other_than) if other_than else None
        return eventually(
            "the operator is ready",
            self.operator,
            lambda pod: _start_of(pod) != before,
            within=90,
            explain=lambda: self.cluster.pods_in_words(NAMESPACE),
        )

    def _helm(self, *arguments: str) -> str:
        return self.cluster.call("helm", *arguments, "--namespace", NAMESPACE)


def _start_of(pod: Object) -> tuple[str, int]:
    [container] = pod["status"]["containerStatuses"]
    return pod["metadata"]["uid"], container["restartCount"]


def namespace_manifest(name: str) -> dict[str, Any]:
    """A namespace that takes only pods of the strictest standard."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
