"""An agent as the operator would make it, written by hand: for tests of what needs agents and no operator."""

from __future__ import annotations

import json
from typing import Any

from e2e_manifests import SMALL, Manifest, workflow
from milepost_crds import GROUP

DATA = "/data"


def agent_pods(name: str, image: str, replicas: int = 1) -> list[Manifest]:
    """AgentWorkflow, ConfigMap, headless Service and StatefulSet. An operator that is there is asked to stay away."""
    resource = workflow(name, replicas=replicas)
    resource["metadata"]["annotations"] = {f"{GROUP}/paused": "true"}
    labels = {
        "app.kubernetes.io/name": "milepost",
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/component": "agent",
    }
    every = {**labels, "app.kubernetes.io/managed-by": "milepost-operator"}
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-workflow", "labels": every},
        "data": {"workflow.yaml": json.dumps(resource)},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{name}-pods", "labels": every},
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": labels, "ports": [{"port": 50051}]},
    }
    return [resource, config, service, _stateful_set(name, image, replicas, labels, every)]


def registries(name: str, replicas: int = 1) -> str:
    """Where a service registers itself with the agents."""
    return ",".join(f"{name}-{ordinal}.{name}-pods:50051" for ordinal in range(replicas))


def _stateful_set(
    name: str, image: str, replicas: int, labels: dict[str, str], every: dict[str, str]
) -> dict[str, Any]:
    settings = {
        "MILEPOST_LISTEN": "0.0.0.0:50051",
        "MILEPOST_WORKFLOW_FILE": "/etc/milepost/workflow.yaml",
        "MILEPOST_DATA_DIR": DATA,
    }
    container = {
        "name": "milepost",
        "image": image,
        "env": [{"name": key, "value": value} for key, value in settings.items()],
        "ports": [{"name": "grpc", "containerPort": 50051}],
        "readinessProbe": {"grpc": {"port": 50051}, "timeoutSeconds": 5, "periodSeconds": 1},
        "resources": SMALL,
        "volumeMounts": [{"name": "data", "mountPath": DATA}, {"name": "config", "mountPath": "/etc/milepost"}],
    }
    pod = {
        "metadata": {"labels": every},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 10,
            "securityContext": {"fsGroup": 10001, "runAsUser": 10001, "runAsNonRoot": True},
            "containers": [container],
            "volumes": [{"name": "config", "configMap": {"name": f"{name}-workflow"}}],
        },
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}},
    }
    spec = {
        "serviceName": f"{name}-pods",
        "replicas": replicas,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": labels},
        "template": pod,
        "volumeClaimTemplates": [claim],
    }
    metadata = {"name": name, "labels": every}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}
