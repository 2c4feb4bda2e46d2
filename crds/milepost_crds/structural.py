"""From the JSON schema that pydantic writes to the structural schema that the API server takes."""

from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from milepost_crds.rules import Model

Schema = dict[str, Any]

_DROPPED = {"title", "examples", "discriminator"}


@cache
def structural_schema(model: type[BaseModel]) -> Schema:
    """Structural schema of a model: references inlined, no nulls, rules attached as CEL validations."""
    produced = model.model_json_schema(by_alias=True)
    definitions: dict[str, Schema] = produced.pop("$defs", {})
    rules = _rules_by_title(model)
    return _structural(produced, definitions, rules)


def _rules_by_title(model: type[BaseModel]) -> dict[str, list[Schema]]:
    """The CEL validations of the model and of all models below it, by class name (pydantic's title)."""
    found: dict[str, list[Schema]] = {}
    waiting: list[Any] = [model]
    while waiting:
        annotation = waiting.pop()
        waiting.extend(get_args(annotation))
        if not (isinstance(annotation, type) and issubclass(annotation, Model)) or annotation.__name__ in found:
            continue
        found[annotation.__name__] = [rule.as_validation() for rule in annotation.rules if rule.cel]
        waiting.extend(field.annotation for field in annotation.model_fields.values())
    return found


def _structural(node: Schema, definitions: dict[str, Schema], rules: dict[str, list[Schema]]) -> Schema:
    node = _without_null(_inlined(node, definitions))
    if "$ref" in node:
        node = _inlined(node, definitions)
    result = {key: value for key, value in node.items() if key not in _DROPPED}
    if node.get("default") in (None, "", []):
        result.pop("default", None)
    if "const" in result:
        result["enum"] = [result.pop("const")]
    if "properties" in result:
        result.pop("additionalProperties", None)
        result["properties"] = {
            name: _structural(child, definitions, rules) for name, child in result["properties"].items()
        }
        validations = [*result.get("x-kubernetes-validations", []), *rules.get(node.get("title", ""), [])]
        if validations:
            result["x-kubernetes-validations"] = validations
    elif isinstance(result.get("additionalProperties"), dict):
        result["additionalProperties"] = _structural(result["additionalProperties"], definitions, rules)
        result.pop("propertyNames", None)
    if "items" in result:
        result["items"] = _structural(result["items"], definitions, rules)
    return result


def _inlined(node: Schema, definitions: dict[str, Schema]) -> Schema:
    if "$ref" not in node:
        return node
    referred = definitions[node["$ref"].rsplit("/", 1)[-1]]
    return {**referred, **{key: value for key, value in node.items() if key != "$ref"}, "title": referred["title"]}


def _without_null(node: Schema) -> Schema:
    """`T | None` becomes an optional T; null itself is dropped by the API server."""
    choices = node.get("anyOf", [])
    if {"type": "null"} not in choices:
        return node
    remaining = [choice for choice in choices if choice != {"type": "null"}]
    assert len(remaining) == 1, "unions are flat optional fields with a rule"
    outer = {key: value for key, value in node.items() if key not in {"anyOf", "title"}}
    inner: Schema = remaining[0]
    return inner | outer
