"""Kills that no API offers: SIGKILL for the first process of a container, and the kernel's own out-of-memory kill."""

from __future__ import annotations

from typing import Any

from e2e_cluster import Cluster, Object, ready_pods
from e2e_waiting import eventually

NAMESPACE = "milepost-chaos"
POD = "chaos"

KILL = """
import os, pathlib, signal, sys
killed = []
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        if sys.argv[1] not in (folder / "cgroup").read_text():
            continue
        first = any(
            line.startswith("NSpid:") and line.split()[-1] == "1"
            for line in (folder / "status").read_text().splitlines()
        )
        if first:
            os.kill(int(folder.name), signal.SIGKILL)
            killed.append(folder.name)
    except (FileNotFoundError, ProcessLookupError):
        pass
print("killed", *killed)
"""
"""argv[1] is the id of a container: the process that is number 1 inside of it is killed, as seen from the node."""

DEVOUR = """
import pathlib
pathlib.Path("/proc/1/oom_score_adj").write_text("1000")
pathlib.Path("/proc/self/oom_score_adj").write_text("0")
taken = []
while True:
    taken.append(bytearray(b"x") * 2**24)
"""
"""Takes memory until the kernel ends the server, which was made its first choice, instead of this process."""


class Chaos:
    """A privileged pod that sees the processes of its node. One node, as in kind; more need one each."""

    def __init__(self, cluster: Cluster, image: str) -> None:
        self._cluster = cluster
        self._image = image

    def start(self) -> None:
        privileged = {"pod-security.kubernetes.io/enforce": "privileged"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": privileged}}
        self._cluster.apply(namespace)
        self._cluster.apply(_pod(self._image), NAMESPACE)
        eventually(
            "the chaos pod runs",
            lambda: ready_pods(self._cluster.pods(NAMESPACE)),
            within=60,
            explain=lambda: self._cluster.pods_in_words(NAMESPACE),
        )

    def stop(self) -> None:
        self._cluster.delete("Pod", POD, NAMESPACE, grace=0)
        self._cluster.delete("Namespace", NAMESPACE)

    def sigkill(self, pod: Object) -> None:
        """SIGKILL to the first process of the pod's only container."""
        [container] = pod["status"]["containerStatuses"]
        said = self._cluster.exec(NAMESPACE, POD, ["python3", "-c", KILL, container["containerID"].split("//")[1]])
        assert said.split()[:1] == ["killed"] and len(said.split()) == 2, f"one process was to be killed: {said}"

    def exhaust_memory(self, namespace: str, pod: str) -> None:
        """Drives a container over its memory limit so that the kernel kills its server."""
        self._cluster.exec(namespace, pod, ["python3", "-c", DEVOUR])


def _pod(image: str) -> dict[str, Any]:
    container = {
        "name": POD,
        "image": image,
        "command": ["python3", "-c", "import signal; signal.pause()"],
        "securityContext": {"privileged": True, "runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": False},
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD},
        "spec": {"hostPID": True, "terminationGracePeriodSeconds": 0, "containers": [container]},
    }
