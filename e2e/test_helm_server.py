"""A real API server takes every object of the chart, in each of the ways in which it can be installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).resolve().parent.parent / "helm" / "milepost"
OBSERVABILITY = CHART.parent.parent / "examples" / "observability"
CRD = "CustomResourceDefinition"
WAYS: dict[str, dict[str, Any]] = {
    "cluster-wide": {},
    "one namespace": {"watch": {"namespaces": ["default"]}},
    "much set": {
        "commonLabels": {"team": "a"},
        "images": {"registry": "registry.example.com:5000/a", "pullSecrets": [{"name": "pull"}]},
        "operator": {
            "tolerations": [{"key": "only", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
            "nodeSelector": {"disk": "fast"},
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
            "resources": {"limits": {"cpu": 1, "memory": "512Mi", "ephemeral-storage": "1Gi"}},
        },
        "networkPolicy": {
            "apiServer": {"cidrs": ["10.0.0.1/32"]},
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "extraIngress": [{"from": [{"namespaceSelector": {}}], "ports": [{"port": 50051, "protocol": "TCP"}]}],
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}],
        },
        "workloads": {"otlpEndpoint": "https://collector.example.com:4317"},
    },
}

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.requirement("PKG-2"),
    pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="KUBECONFIG names no cluster"),
]


def output(command: list[str], given: str) -> str:
    """What a program wrote; an AssertionError with what it complained of."""
    assert shutil.which(command[0]), f"{command[0]} is not on the PATH"
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of a release in the namespace default, which every cluster has."""
    command = ["helm", "template", "chart-try", str(CHART), "--namespace", "default", "--kube-version", "1.30.0"]
    text = output([*command, "--values", "-"], json.dumps(values))
    return [found for found in yaml.safe_load_all(text) if found]


def taken(objects: list[dict[str, Any]]) -> list[str]:
    """KIND/NAME of what the server would have stored, with unknown and repeated fields refused."""
    command = ["kubectl", "apply", "--server-side", "--force-conflicts", "--field-manager", "chart-try"]
    command += ["--dry-run=server", "--validate=strict", "--output", "json", "--filename", "-"]
    answer = json.loads(output(command, yaml.safe_dump_all(objects)))
    listed = answer["items"] if answer["kind"] == "List" else [answer]
    return [f"{found['kind']}/{found['metadata']['name']}" for found in listed]


@pytest.mark.parametrize("way", WAYS)
def test_the_server_takes_every_object(way: str) -> None:
    objects = rendered(WAYS[way])
    assert {"Deployment", CRD} <= {found["kind"] for found in objects}
    assert taken(objects) == [f"{found['kind']}/{found['metadata']['name']}" for found in objects]


def test_the_server_takes_the_examples_of_observability() -> None:
    """Jaeger and the collector, as `kubectl apply` sends them, but for the namespace, which has to be there."""
    found: list[dict[str, Any]] = []
    for path in sorted(OBSERVABILITY.glob("*/*.yaml")):
        found += [each for each in yaml.safe_load_all(path.read_text()) if each]
    assert {each["kind"] for each in found} == {"Namespace", "Deployment", "Service", "ConfigMap"}
    namespaces = [each["metadata"]["name"] for each in found if each["kind"] == "Namespace"]
    for each in found:
        if each["kind"] != "Namespace":
            assert [each["metadata"]["namespace"]] == namespaces
            each["metadata"]["namespace"] = "default"
    assert taken(found) == [f"{each['kind']}/{each['metadata']['name']}" for each in found]


@pytest.mark.parametrize("component", ["operator", "gateway"])
def test_every_pod_is_admitted_as_restricted(component: str) -> None:
    [deployment] = [
        found
        for found in rendered({})
        if found["kind"] == "Deployment" and found["metadata"]["name"].endswith(f"-{component}")
    ]
    template = deployment["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "chart-try"} | template["metadata"]}
    pod["spec"] = template["spec"] | {"serviceAccountName": "default"}
    namespace = f"chart-try-{component}-{os.getpid()}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    output(["kubectl", "create", "-f", "-"], json.dumps(made))
    try:
        create = ["kubectl", "create", "--dry-run=server", "-n", namespace, "-f", "-"]
        output(create, json.dumps(pod | {"spec": pod["spec"] | {"serviceAccountName": ""}}))
        pod["spec"]["securityContext"] = {}
        with pytest.raises(AssertionError, match="violates PodSecurity"):
            output(create, json.dumps(pod | {"spec": pod["spec"] | {"serviceAccountName": ""}}))
    finally:
        output(["kubectl", "delete", "namespace", namespace, "--wait=false"], "")
