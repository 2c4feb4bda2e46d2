"""Schemas of tools as what a model's answer is held to.

A grammar cannot hold an answer to everything that a schema can say. What it cannot is left out here, so that it
allows more than the schema does; the arguments are held to the whole schema before the call.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

from milepost_tools.tool import Schema, SchemaTool

MAX_SCHEMA_BYTES = 16 * 1024
"""Of all tools that are offered together; a model service makes a grammar of at most 2,000 rules of it."""

_ANY: dict[str, Any] = {}
_DEPTH = 12
_NODES = 1_000
_REPETITIONS = 512
_INTEGERS = 1023
_SIGNATURE = 320  # characters


def choice_schema(names: Sequence[str], tools: Sequence[SchemaTool]) -> tuple[str, Sequence[SchemaTool]]:
    """The schema of `{"tool": NAME}` and `{"tool": NAME, "arguments": {...}}`, with the tools that fit into it.

    Tools come in their order, without those that would make it larger than 16 KiB.
    """
    branches = [_branch(name) for name in names]
    fitting: list[SchemaTool] = []
    for tool in tools:
        further = _branch(tool.name) | {"required": ["tool", "arguments"]}
        further["properties"]["arguments"] = decodable(tool.schema)
        if len(json.dumps({"anyOf": [*branches, further]})) > MAX_SCHEMA_BYTES:
            continue
        branches.append(further)
        fitting.append(tool)
    return json.dumps({"anyOf": branches}), fitting


def signature(tool: SchemaTool) -> str:
    """A tool in one line of a prompt: `weather.forecast(city: string, days: integer): what it does`."""
    properties = tool.schema.get("properties", {})
    arguments = ", ".join(f"{name}: {_kind(each)}" for name, each in properties.items())
    return f"{tool.name}({arguments[: _SIGNATURE // 2]}): {tool.description}"[:_SIGNATURE]


def decodable(schema: Schema) -> dict[str, Any]:
    """A schema that a grammar can hold an answer to and that allows all objects that `schema` does, in the main."""
    reduced = _Reducer(schema).reduced(schema, 0)
    return reduced if reduced.get("type") == "object" else {"type": "object"}


def _branch(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"tool": {"const": name}}, "required": ["tool"]}


def _kind(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "any"
    if isinstance(schema.get("enum"), list):
        return "|".join(json.dumps(value) for value in schema["enum"][:8])
    kind = schema.get("type", "any")
    return kind if isinstance(kind, str) else "any"


class _Reducer:
    """Puts what is referred to in its place; what is nested too deeply, or comes after 1,000 nodes, may be anything."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = _NODES
        self._kinds: Mapping[str, Callable[[Schema, int], dict[str, Any]]] = {
            "object": self._object,
            "array": self._array,
            "string": lambda schema, _: {"type": "string"} | _lengths(schema, "minLength", "maxLength"),
            "integer": lambda schema, _: {"type": "integer"} | _range(schema),
            "number": lambda *_: {"type": "number"},
            "boolean": lambda *_: {"type": "boolean"},
            "null": lambda *_: {"type": "null"},
        }

    def reduced(self, schema: Any, depth: int) -> dict[str, Any]:
        self._left -= 1
        if self._left < 0 or depth > _DEPTH or not isinstance(schema, Mapping):
            return dict(_ANY)
        if "$ref" in schema:
            return self.reduced(self._target(schema["$ref"]), depth + 1)
        if listed := _listed(schema):
            return listed
        for key in ("anyOf", "oneOf", "allOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                return self._combined(key, schema[key], depth)
        kinds = schema.get("type", "object" if "properties" in schema else None)
        kinds = kinds if isinstance(kinds, list) else [kinds]
        found = [self._kinds[kind](schema, depth) for kind in kinds if kind in self._kinds]
        return {"anyOf": found} if len(found) > 1 else found[0] if found else dict(_ANY)

    def _target(self, ref: Any) -> Any:
        target: Any = self._root
        if not isinstance(ref, str) or not ref.startswith("#/"):
            return None
        for part in ref.split("/")[1:]:
            target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        return target

    def _combined(self, key: str, schemas: Sequence[Any], depth: int) -> dict[str, Any]:
        if key == "allOf":
            return self.reduced(schemas[0], depth + 1) if len(schemas) == 1 else dict(_ANY)
        return {"anyOf": [self.reduced(each, depth + 1) for each in schemas]}

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or not properties:
            values = schema.get("additionalProperties", True)
            return {"type": "object", "additionalProperties": values and self.reduced(values, depth + 1)}
        required = schema.get("required")
        names = [name for name in required if name in properties] if isinstance(required, list) else []
        reduced = {str(name): self.reduced(each, depth + 1) for name, each in properties.items()}
        return {"type": "object", "properties": reduced, "required": names}

    def _array(self, schema: Schema, depth: int) -> dict[str, Any]:
        items = self.reduced(schema.get("items", _ANY), depth + 1)
        return {"type": "array", "items": items} | _lengths(schema, "minItems", "maxItems")


def _listed(schema: Schema) -> dict[str, Any]:
    """A const or enum alone; empty where the schema is neither."""
    if "const" in schema:
        return {"const": schema["const"]}
    return {"enum": schema["enum"]} if isinstance(schema.get("enum"), list) and schema["enum"] else {}


def _lengths(schema: Schema, least: str, most: str) -> dict[str, int]:
    """Bounds that may be counted; none where nothing is between them."""
    found = {
        key: schema[key] for key in (least, most) if _is_whole(schema.get(key)) and 0 <= schema[key] <= _REPETITIONS
    }
    return found if list(found.values()) == sorted(found.values()) else {}


def _range(schema: Schema) -> dict[str, int]:
    """Bounds of an integer, where there are so few between them that they can be listed."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if _is_whole(low) and _is_whole(high) and 0 <= high - low <= _INTEGERS:
        return {"minimum": low, "maximum": high}
    return {"minimum": 0} if _is_whole(low) and low == 0 else {}


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
