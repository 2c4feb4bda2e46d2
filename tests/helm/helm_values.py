"""The values of the chart as dotted paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from helm_chart import Object


def described_paths(node: Object, root: Object, path: str = "") -> Iterator[str]:
    """Dotted paths of the values that the schema describes, down to what users fill in as they like."""
    if "$ref" in node:
        node = root["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    inner = node.get("properties")
    if not inner or path in {
        f"{pod}.{field}" for pod in ("operator", "gateway") for field in ("resources", "affinity")
    }:
        yield path
        return
    for name, child in inner.items():
        yield from described_paths(child, root, f"{path}.{name}".lstrip("."))


def paths(value: Any, leaves: set[str], path: str = "") -> Iterator[str]:
    """Dotted paths of the defaults, down to the leaves."""
    if path in leaves or not isinstance(value, dict):
        yield path
        return
    for name, child in value.items():
        yield from paths(child, leaves, f"{path}.{name}".lstrip("."))
