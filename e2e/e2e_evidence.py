"""What is kept of a failed story: logs, events, resources and the journals of all runs (PKG-4)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml
from kubernetes.client.exceptions import ApiException

from e2e_cluster import KINDS, Cluster, Object
from e2e_waiting import one_line

COLLECTED = ("ConfigMap", "Service", "PersistentVolumeClaim", "Pod", *KINDS)
CLUSTER_WIDE = ("CustomResourceDefinition", "StorageClass")
JOURNAL_SECONDS = 20


def collect(cluster: Cluster, namespaces: list[str], folder: Path) -> None:
    """Writes `folder/NAMESPACE/...`; what cannot be had is named in the file that would have held it."""
    for namespace in namespaces:
        place = folder / namespace
        place.mkdir(parents=True, exist_ok=True)
        for part in (_logs, _events, _resources, _journals):
            try:
                part(cluster, namespace, place)
            except Exception as error:  # evidence never hides the failure that it is about
                (place / f"{part.__name__.strip('_')}.error").write_text(one_line(error))


def _logs(cluster: Cluster, namespace: str, place: Path) -> None:
    for pod in cluster.pods(namespace):
        name = pod["metadata"]["name"]
        for container in (pod.get("status") or {}).get("containerStatuses") or []:
            log = place / f"{name}.{container['name']}.log"
            log.write_text(cluster.logs(namespace, name, container["name"]))
            if container["restartCount"]:
                log.with_suffix(".previous.log").write_text(
                    cluster.logs(namespace, name, container["name"], previous=True)
                )


def _events(cluster: Cluster, namespace: str, place: Path) -> None:
    events = sorted(cluster.objects("Event", namespace), key=_time_of)
    lines = [
        f"{_time_of(event)} {event['type']} {event['reason']} "
        f"{event['involvedObject']['kind']}/{event['involvedObject']['name']}: {event.get('message', '')}"
        for event in events
    ]
    (place / "events.txt").write_text("\n".join(lines))


def _time_of(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


def _resources(cluster: Cluster, namespace: str, place: Path) -> None:
    for kind in COLLECTED:
        if kind in CLUSTER_WIDE:
            continue
        with contextlib.suppress(ApiException):
            found = cluster.objects(kind, namespace)
            for each in found:
                each["metadata"].pop("managedFields", None)
            if found:
                (place / f"{kind.lower()}s.yaml").write_text(yaml.safe_dump_all(found, sort_keys=False))


def _journals(cluster: Cluster, namespace: str, place: Path) -> None:
    """Each run as `milepost get run --json` tells it."""
    command = _milepost(cluster, namespace)
    listed = json.loads(command("get", "runs", "--json"))
    for run in listed["runs"] if isinstance(listed, dict) else listed:
        run_id = run.get("run_id") or run["id"]
        (place / f"run-{run_id}.json").write_text(command("get", "run", run_id, "--json"))


def _milepost(cluster: Cluster, namespace: str) -> Callable[..., str]:
    program = [str(Path(sys.executable).with_name("milepost"))]

    def command(*arguments: str) -> str:
        environment = {**os.environ, "KUBECONFIG": cluster.kubeconfig}
        whole = [*program, *arguments, "--namespace", namespace]
        done = subprocess.run(whole, env=environment, capture_output=True, text=True, timeout=JOURNAL_SECONDS)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(whole)}: {done.stderr.strip()}")
        return done.stdout

    return command


def namespaces_of_interest(cluster: Cluster, stories: list[str]) -> list[str]:
    """The stories' own, and every other one that holds pods of Milepost's own."""
    operators = cluster.objects("Pod", None, "app.kubernetes.io/part-of=milepost,app.kubernetes.io/component=operator")
    return [*stories, *sorted({pod["metadata"]["namespace"] for pod in operators} - set(stories))]
