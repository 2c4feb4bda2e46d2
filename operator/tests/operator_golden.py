"""Writes golden/*.yaml: what is applied for each of these resources, and the status before anything was seen.

.venv/bin/python operator/tests/operator_golden.py
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from operator_cases import (
    DEFAULTS,
    NAMESPACE,
    SMOLLM2,
    UID,
    WRITER_REF,
    around,
    model,
    planned,
    service_body,
    with_metadata,
    workflow,
)

from milepost_crds import load_manifests
from milepost_operator.observation import Resource

FOLDER = Path(__file__).parent / "golden"
ROOT = Path(__file__).resolve().parents[2]
SERVICES = {
    name: service_body(name, capabilities=["coding", "general", "rag", "review", "tools"])
    for name in ("smollm2", "writer")
}
PLACED = {
    "resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": 2, "memory": "2Gi", "ephemeral-storage": "1Gi"}},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}, "namespaceSelector": {}}
            ]
        }
    },
    "priorityClassName": "batch",
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "imagePullSecrets": [{"name": "registry"}],
}


def examples() -> dict[str, Resource]:
    """The resources of the examples, as stored."""
    found: dict[str, Resource] = {}
    for folder in sorted({file.parent for file in (ROOT / "examples").glob("*/*.yaml")}):
        for manifest in load_manifests([folder]):
            if manifest.kind != "ConfigMap":
                resource = with_metadata(manifest.resource, namespace=NAMESPACE, uid=UID, generation=1)
                found[f"example-{folder.name}-{manifest.name}"] = resource
    return found


def variations() -> dict[str, Resource]:
    """One resource for each way in which children differ."""
    on_volume = {"persistentVolumeClaim": {"claimName": "models", "path": "llama/8b.Q4_K_M.gguf"}}
    by_url = {"url": "https://models.example.org/7b.gguf", "sha256": "0" * 64}
    at_hub = {
        "huggingFace": {"repo": "example/Llama-3.1-8B-Instruct-GGUF", "file": "Llama-3.1-8B.Q4_K_M.gguf"},
        "secretRef": {"name": "hub", "key": "token"},
    }
    shelf = {"persistentVolumeClaim": {"claimName": "papers", "path": "handbook"}}
    remote = {"baseURL": "https://llm.example.org/v1", "model": "large", "secretRef": {"name": "llm", "key": "token"}}
    return {
        "model-on-a-volume": model(llamaCpp={"source": on_volume, "contextTokens": 4096}),
        "model-by-url": model(llamaCpp={"source": by_url}),
        "model-of-hugging-face": model(llamaCpp={"source": at_hub, "sequences": 2, "threads": 4}),
        "model-placed": model(**PLACED, replicas=3),
        "model-scaled-to-zero": model(replicas=0),
        "open-ai": model(openAI=remote),
        "rag-on-a-volume": model("library", rag={"documents": shelf} | WRITER_REF),
        "tools": model("toolbox", tools={"builtIn": ["clock"]} | WRITER_REF),
        "tools-of-mcp-servers-and-the-web": model(
            "toolbox",
            tools={
                "builtIn": ["httpFetch"],
                "httpFetch": {"allowedHosts": ["*.example.org"], "privateNetworks": ["10.20.0.0/16"]},
                "mcpServers": [
                    {"name": "files", "url": "http://files:8000/mcp"},
                    {"name": "box", "command": ["box-server", "--stdio"]},
                ],
            }
            | WRITER_REF,
        ),
        "workflow-placed": workflow(**PLACED),
        "workflow-of-three-deleted-with-its-volumes": workflow(
            replicas=3,
            checkpoint={"storage": {"size": "5Gi", "className": "fast"}, "reclaimPolicy": "Delete"},
            observability={"otlpEndpoint": "http://collector:4317"},
        ),
        "workflow-with-a-long-name": workflow("a" * 63),
        "workflow-with-a-router-model": workflow(router={"model": {"source": SMOLLM2["source"], "threads": 2}}),
        "workflow-with-a-router-model-on-a-volume": workflow(
            router={"model": {"source": on_volume, "deadline": "5s"}, "confidenceThreshold": 0.6}
        ),
        "workflow-with-a-router-model-by-url": workflow(
            router={"model": {"source": by_url | {"secretRef": {"name": "models"}}}}
        ),
        "model-with-a-long-name": model("b" * 63, llamaCpp=SMOLLM2 | {"quantization": "Q8_0"}),
    }


def cases() -> Mapping[str, Resource]:
    """All resources by the name of their golden file."""
    return examples() | variations()


def rendered(resource: Resource) -> str:
    """The golden file of one resource."""
    done = planned(resource, around(resource, services=SERVICES), defaults=DEFAULTS)
    return yaml.dump_all([*map(_plain, done.apply), {"status": _plain(done.status)}], Dumper=_Dumper, sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    wanted = cases()
    for stale in FOLDER.glob("*.yaml"):
        if stale.stem not in wanted:
            stale.unlink()
    for name, resource in wanted.items():
        (FOLDER / f"{name}.yaml").write_text(rendered(resource), encoding="utf-8")


if __name__ == "__main__":
    main()
