"""Writes the CRD manifests beside this package; with --check, fails when the committed ones differ."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from milepost_crds.agentworkflow import AgentWorkflow
from milepost_crds.metadata import GROUP, VERSION
from milepost_crds.modelservice import ModelService
from milepost_crds.structural import Schema, structural_schema

CATEGORY = "milepost"
DIRECTORY = Path(__file__).resolve().parent.parent

_HEADER = "# Generated from the models in milepost_crds; change those and run `make gen`.\n"
_SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}


def custom_resource_definitions() -> dict[str, Schema]:
    """The two CustomResourceDefinitions by file name."""
    return {
        "agentworkflows.yaml": _definition(
            AgentWorkflow,
            plural="agentworkflows",
            short_name="mpwf",
            columns=[_column("Pattern", ".spec.pattern"), _column("Endpoint", ".status.endpoint")],
            subresources={"status": {}},
        ),
        "modelservices.yaml": _definition(
            ModelService,
            plural="modelservices",
            short_name="mpms",
            columns=[
                _column("Replicas", ".status.readyReplicas", kind="integer"),
                _column("Endpoint", ".status.endpoint"),
            ],
            subresources={"status": {}, "scale": _SCALE},
        ),
    }


def rendered() -> dict[str, str]:
    """The content of each generated file by its name."""
    return {
        name: _HEADER + yaml.safe_dump(definition, sort_keys=False, width=110, allow_unicode=True)
        for name, definition in custom_resource_definitions().items()
    }


def _definition(
    model: type[AgentWorkflow] | type[ModelService],
    *,
    plural: str,
    short_name: str,
    columns: list[Schema],
    subresources: dict[str, Any],
) -> Schema:
    kind = model.__name__
    ready = _column("Ready", '.status.conditions[?(@.type=="Ready")].status')
    reason = _column("Reason", '.status.conditions[?(@.type=="Ready")].reason') | {"priority": 1}
    age = _column("Age", ".metadata.creationTimestamp", kind="date")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "milepost"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short_name],
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [ready, *columns, age, reason],
                    "subresources": subresources,
                    "schema": {"openAPIV3Schema": _root(structural_schema(model))},
                }
            ],
        },
    }


def _root(schema: Schema) -> Schema:
    """The API server validates apiVersion, kind and metadata by itself and wants no more than their types here."""
    types = {"apiVersion": "string", "kind": "string", "metadata": "object"}
    properties = schema["properties"] | {name: {"type": kind} for name, kind in types.items()}
    return schema | {"properties": properties, "required": ["spec"]}


def _column(name: str, path: str, kind: str = "string") -> Schema:
    return {"name": name, "type": kind, "jsonPath": path}


def main(arguments: Sequence[str]) -> int:
    """Writes or checks the files; the exit code is 1 when they drifted."""
    drifted = []
    for name, text in rendered().items():
        path = DIRECTORY / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        drifted.append(name)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    if "--check" not in arguments:
        return 0
    for name in drifted:
        sys.stderr.write(f"crds/{name}: differs from its models; run `make gen`\n")
    return 1 if drifted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
