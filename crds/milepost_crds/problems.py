"""Turns what pydantic found wrong into one line each: where, what is wrong, what is allowed."""

import json
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from milepost_crds.fields import HINTS
from milepost_crds.structural import Schema, structural_schema

Location = Sequence[int | str]

_TYPE_WORDS = {"boolean": "true or false", "object": "a mapping", "array": "a list", "string": "text"}


def describe_problems(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """One line for each error, `FIELD.PATH: what is wrong; allowed: ...`."""
    schema = structural_schema(model)
    unknown_first = sorted(error.errors(include_url=False), key=lambda detail: detail["type"] != "extra_forbidden")
    for detail in unknown_first:
        if detail["type"] == "rules":
            for field, message in detail["ctx"]["broken"]:
                yield f"{_joined(field_path(detail['loc']), field)}: {message}"
        else:
            yield f"{field_path(detail['loc'])}: {_wrong(detail)}; allowed: {_allowed(detail, schema)}"


def field_path(location: Location) -> str:
    """A location as a person writes it: spec.steps[3].name."""
    path = ""
    parts = location[:-2] if location and location[-1] == "[key]" else location
    for part in parts:
        path = _joined(path, f"[{part}]" if isinstance(part, int) else _shortened(part))
    return path


def describe_allowed(node: Schema) -> str:
    """What a schema node takes, in words."""
    if "enum" in node:
        return ("one of " if len(node["enum"]) > 1 else "") + ", ".join(str(value) for value in node["enum"])
    if node.get("pattern") in HINTS:
        limit = f", at most {node['maxLength']} characters" if "anyOf" not in node else ""
        return HINTS[node["pattern"]] + limit
    kind = node.get("type", "")
    if kind in {"integer", "number"}:
        noun = "a whole number" if kind == "integer" else "a number"
        return noun + _range(node.get("minimum"), node.get("maximum"))
    if kind == "string":
        return "text of" + _counted(node.get("minLength", 0), node.get("maxLength"), "characters")
    if kind == "array":
        return "a list of" + _counted(node.get("minItems", 0), node.get("maxItems"), "items")
    if "properties" in node:
        return "a mapping with " + ", ".join(node.get("required") or node["properties"])
    return _TYPE_WORDS.get(kind, "another value")


def _joined(path: str, field: str) -> str:
    return f"{path}{field}" if not path or not field or field.startswith("[") else f"{path}.{field}"


def _wrong(detail: ErrorDetails) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not a known field"
    if kind in {"string_too_long", "string_too_short"}:
        return f"has {len(value)} characters"
    if kind in {"too_long", "too_short"}:
        return f"has {len(value)} {'entries' if isinstance(value, dict) else 'items'}"
    return f"{_shown(value)} is not allowed here"


def _allowed(detail: ErrorDetails, schema: Schema) -> str:
    location = detail["loc"]
    if detail["type"] == "extra_forbidden":
        known = list(_node_at(schema, location[:-1]).get("properties", {}))
        return ", ".join(get_close_matches(str(location[-1]), known, n=3, cutoff=0.5) or known)
    if location and location[-1] == "[key]":
        bounds = detail.get("ctx", {})
        return "keys of " + describe_allowed(
            {
                "type": "string",
                "minLength": 1,
                "maxLength": bounds.get("max_length", 253),
                "pattern": bounds.get("pattern"),
            }
        )
    return describe_allowed(_node_at(schema, location))


def _node_at(schema: Schema, location: Location) -> Schema:
    node = schema
    for part in location:
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
    return node


def _shown(value: Any) -> str:
    try:
        return _shortened(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError):
        return _shortened(repr(value))


def _shortened(text: str) -> str:
    return text if len(text) <= 63 else f"{text[:60]}..."


def _range(lowest: float | None, highest: float | None) -> str:
    if lowest is None or highest is None:
        return "" if lowest is None else f" of at least {lowest}"
    return f" from {lowest} to {highest}"


def _counted(fewest: int, most: int | None, noun: str) -> str:
    return f" at least {fewest} {noun}" if most is None else f" {fewest} to {most} {noun}"
