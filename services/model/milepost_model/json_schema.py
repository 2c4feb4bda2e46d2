"""A JSON schema as a grammar of llama.cpp (GBNF), for answers that are JSON of that schema.

What a grammar cannot hold an answer to is refused by name, never passed over. Objects have the properties of the
schema in its order and no others; nothing is put between tokens of JSON.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from milepost_service.errors import InvalidArgumentError

SCHEMA_BYTES = 64 * 1024
_DEPTH = 32
_RULES = 2000
_REPETITIONS = 512
"""Most characters or items that may be counted; without a bound there may be any number of them."""
_LISTED_INTEGERS = 1024

_WHERE = "json_schema"
_SURROGATE = re.compile("[\ud800-\udfff]")  # half of a character: it can be written as an escape only
_NOTES = {"$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "format"}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_PRIMITIVES = {
    "character": r'[^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})',
    "string": r'"\"" character* "\""',
    "natural": '"0" | [1-9] [0-9]{0,14}',
    "integer": '"-"? natural',
    "number": '"-"? natural ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "member": 'string ":" value',
    "object": '"{" (member ("," member)*)? "}"',
    "array": '"[" (value ("," value)*)? "]"',
    "value": "object | array | string | number | boolean | null",
}


def grammar_of(schema: str) -> str:
    """The grammar; its first rule is `root`. Raises InvalidArgumentError that says what is not allowed, and where."""
    if len(schema.encode()) > SCHEMA_BYTES:
        raise InvalidArgumentError(f"{_WHERE}: has {len(schema.encode())} bytes; allowed: {SCHEMA_BYTES}")
    try:
        parsed = json.loads(schema, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"{_WHERE}: is not JSON ({error}); allowed: a JSON schema") from None
    grammar = Grammar()
    return grammar.text(grammar.add_schema(parsed, _WHERE))


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


class Grammar:
    """A grammar that is put together rule by rule; those of JSON are in it."""

    def __init__(self) -> None:
        self._rules: dict[str, str] = {}

    def add(self, body: str) -> str:
        """Name of a new rule."""
        if len(self._rules) >= _RULES:
            raise InvalidArgumentError(f"{_WHERE}: needs more than {_RULES} rules; allowed: a smaller schema")
        name = f"r{len(self._rules)}"
        self._rules[name] = body
        return name

    def define(self, name: str, body: str) -> None:
        """What a rule is that had to be referred to before that was known."""
        self._rules[name] = body

    def add_schema(self, schema: Any, where: str) -> str:
        """Name of a rule for the JSON that satisfies a schema; `where` leads what is said of it.

        Raises:
            InvalidArgumentError: says what is not allowed, and where.
        """
        return self.add(_Schema(self, schema).visit(schema, where, 0))

    def text(self, root: str) -> str:
        """The grammar that begins with the rule `root`."""
        return "\n".join(f"{name} ::= {rule}" for name, rule in {"root": root, **_PRIMITIVES, **self._rules}.items())


class _Schema:
    """One schema. Each part that is an object or an array, or that is referred to, has a rule of its own."""

    def __init__(self, grammar: Grammar, schema: Any) -> None:
        self._grammar = grammar
        self._schema = schema
        self._referred: dict[str, str] = {}

    def visit(self, schema: Any, where: str, depth: int) -> str:
        """What a rule for the schema says."""
        if depth > _DEPTH:
            raise InvalidArgumentError(f"{_WHERE}: is nested more than {_DEPTH} deep; allowed: {_DEPTH}")
        if isinstance(schema, bool):
            return _all_or_nothing(schema, where)
        if not isinstance(schema, dict):
            raise InvalidArgumentError(f"{where}: is {json.dumps(schema)[:40]}; allowed: a JSON schema")
        if "enum" in schema or "const" in schema:
            return _listed(schema, where)
        for key, visit in self._combinations().items():
            if key in schema:
                _require_known(schema, {key}, where)
                return visit(schema[key], f"{where}.{key}", depth + 1)
        return self._typed(schema, where, depth)

    def _typed(self, schema: dict[str, Any], where: str, depth: int) -> str:
        kinds = schema.get("type", "object" if "properties" in schema else "array" if "items" in schema else None)
        if kinds is None:
            _require_known(schema, set(), where)
            return "value"
        if isinstance(kinds, list):
            return self._any([{**schema, "type": kind} for kind in kinds], f"{where}.type", depth + 1)
        visit_kind = self._kinds().get(kinds) if isinstance(kinds, str) else None
        if visit_kind is None:
            raise InvalidArgumentError(f"{where}.type: is {kinds!r}; allowed: {', '.join(self._kinds())}")
        return visit_kind(schema, where, depth)

    def _combinations(self) -> Mapping[str, Callable[[Any, str, int], str]]:
        return {
            "$ref": self._ref,
            "anyOf": self._any,
            "oneOf": self._any,
        }

    def _kinds(self) -> Mapping[str, Callable[[dict[str, Any], str, int], str]]:
        return {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._plain,
            "boolean": self._plain,
            "null": self._plain,
        }

    def _ref(self, ref: Any, where: str, depth: int) -> str:
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            raise InvalidArgumentError(f"{where}: is {ref!r}; allowed: a place in the same schema, #/...")
        if ref in self._referred:
            return self._referred[ref]
        target = self._schema
        for part in ref.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, dict) or name not in target:
                raise InvalidArgumentError(f"{where}: {ref} is not there; allowed: a place in the same schema")
            target = target[name]
        rule = self._referred[ref] = self._grammar.add("")
        self._grammar.define(rule, self.visit(target, ref, depth + 1))
        return rule

    def _any(self, schemas: Any, where: str, depth: int) -> str:
        if not isinstance(schemas, list) or not schemas:
            raise _unsatisfiable(where, "it lists no schema")
        return _group([self.visit(each, f"{where}[{index}]", depth + 1) for index, each in enumerate(schemas)])

    def _plain(self, schema: dict[str, Any], where: str, depth: int) -> str:
        _require_known(schema, {"type"}, where)
        return str(schema["type"])

    def _integer(self, schema: dict[str, Any], where: str, depth: int) -> str:
        _require_known(schema, {"type", "minimum", "maximum"}, where)
        low, high = schema.get("minimum"), schema.get("maximum")
        if high is None and low in (None, 0):
            return "integer" if low is None else "natural"
        if not (isinstance(low, int) and isinstance(high, int) and high - low < _LISTED_INTEGERS):
            raise InvalidArgumentError(
                f"{where}: minimum {low}, maximum {high}; allowed: both, whole and at most {_LISTED_INTEGERS - 1} "
                "apart, or minimum 0 alone"
            )
        if high < low:
            raise _unsatisfiable(where, f"maximum {high} is below minimum {low}")
        return self._grammar.add(_group([_literal(value) for value in range(low, high + 1)]))

    def _string(self, schema: dict[str, Any], where: str, depth: int) -> str:
        _require_known(schema, {"type", "minLength", "maxLength"}, where)
        if not {"minLength", "maxLength"} & set(schema):
            return "string"
        low, high = _bounds(schema, "minLength", "maxLength", where)
        return self._grammar.add(rf'"\"" character{_times(low, high)} "\""')

    def _array(self, schema: dict[str, Any], where: str, depth: int) -> str:
        _require_known(schema, {"type", "items", "minItems", "maxItems"}, where)
        low, high = _bounds(schema, "minItems", "maxItems", where)
        if high == 0:
            return '"[]"'
        item = self.visit(schema.get("items", True), f"{where}.items", depth + 1)
        further = _times(max(0, low - 1), None if high is None else high - 1)
        items = f'({item}) ("," ({item})){further}'
        return self._grammar.add(f'"[" {items if low else f"({items})?"} "]"')

    def _object(self, schema: dict[str, Any], where: str, depth: int) -> str:
        _require_known(schema, {"type", "properties", "required", "additionalProperties"}, where)
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise InvalidArgumentError(f"{where}: allowed: properties as an object and required as a list")
        if missing := [name for name in required if name not in list(properties)]:
            raise InvalidArgumentError(f"{where}.required: {missing[0]!r} is no property; allowed: names of properties")
        if not properties:
            return self._map(schema.get("additionalProperties", True), where, depth)
        members = [
            (f'{_literal(name)} ":" {self.visit(each, f"{where}.properties.{name}", depth + 1)}', name in required)
            for name, each in properties.items()
        ]
        return self._grammar.add(f'"{{" {self._members(members)} "}}"')

    def _members(self, members: Sequence[tuple[str, bool]]) -> str:
        """Members in order: commas only between those that are there."""
        after = alone = '""'
        for member, is_required in reversed(members):
            if is_required:
                after, alone = self._grammar.add(f'"," {member} {after}'), self._grammar.add(f"{member} {after}")
            else:
                alone = self._grammar.add(f"{member} {after} | {alone}")
                after = self._grammar.add(f'("," {member})? {after}')
        return alone

    def _map(self, values: Any, where: str, depth: int) -> str:
        if values is False:
            return '"{}"'
        value = self.visit(values, f"{where}.additionalProperties", depth + 1)
        member = f'string ":" ({value})'
        return self._grammar.add(f'"{{" ({member} ("," {member})*)? "}}"')


def _all_or_nothing(schema: bool, where: str) -> str:
    if not schema:
        raise _unsatisfiable(where, "false allows nothing")
    return "value"


def _listed(schema: Mapping[str, Any], where: str) -> str:
    """The values of an enum or const that are of the schema's type."""
    _require_known(schema, {"enum", "const", "type"}, where)
    values = schema.get("enum", [schema.get("const")])
    if ("enum" in schema and "const" in schema) or not isinstance(values, list):
        raise InvalidArgumentError(f"{where}: allowed: a list as enum, or a const")
    kinds = schema.get("type", list(_TYPES))
    kinds = kinds if isinstance(kinds, list) else [kinds]
    fitting = [value for value in values if any(_is_of(value, kind) for kind in kinds)]
    if not fitting:
        raise _unsatisfiable(where, "it lists no value of its type")
    return _group([_literal(value) for value in fitting])


def _is_of(value: Any, kind: Any) -> bool:
    is_bool = isinstance(value, bool)
    return isinstance(kind, str) and is_bool == (kind == "boolean") and isinstance(value, _TYPES.get(kind, ()))


def _require_known(schema: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(schema) - known - _NOTES):
        allowed = ", ".join(sorted(known)) or "type, enum, const, anyOf, oneOf, $ref"
        raise InvalidArgumentError(f"{where}: {unknown[0]} cannot be held to; allowed here: {allowed}")


def _bounds(schema: Mapping[str, Any], least: str, most: str, where: str) -> tuple[int, int | None]:
    low, high = schema.get(least, 0), schema.get(most)
    for name, value in ((least, low), (most, high if high is not None else 0)):
        if not isinstance(value, int) or not 0 <= value <= _REPETITIONS:
            raise InvalidArgumentError(f"{where}.{name}: is {value!r}; allowed: 0 to {_REPETITIONS}")
    if high is not None and high < low:
        raise _unsatisfiable(where, f"{most} {high} is below {least} {low}")
    return low, high


def _times(low: int, high: int | None) -> str:
    return f"{{{low},{'' if high is None else high}}}"


def _group(bodies: Sequence[str]) -> str:
    return f"({' | '.join(bodies)})"


def _literal(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text = _SURROGATE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unsatisfiable(where: str, why: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{where}: cannot be satisfied, {why}; allowed: a schema that some JSON satisfies")
