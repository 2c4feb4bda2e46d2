"""JSON schemas of answers: of the messages of the contracts as `json_form` writes them, and of objects around them."""

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from milepost_service.json_form import words

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer"}
TIME: Schema = {"type": "string", "format": "date-time"}
_REFERENCE = "#/components/schemas/"
_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": TIME,
    "google.protobuf.Duration": {"type": "number", "description": "Seconds"},
    "google.protobuf.Struct": {"type": "object"},
}
_INTEGERS = {
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
}
_NUMBERS = {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}


def record(**fields: Schema) -> Schema:
    """An object that has all these fields."""
    return {"type": "object", "properties": fields, "required": list(fields)}


def listing(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def message(kind: type[Message]) -> Schema:
    """A message of the contracts."""
    return {"$ref": _REFERENCE + kind.DESCRIPTOR.name}


def extended(kind: type[Message], **fields: Schema) -> Schema:
    """A message of the contracts with further fields."""
    return {"allOf": [message(kind), record(**fields)]}


def components(kinds: Iterable[type[Message]]) -> dict[str, Schema]:
    """The schemas of these messages and of all that are in them, by name."""
    found: dict[str, Schema] = {}
    waiting: list[Any] = [kind.DESCRIPTOR for kind in kinds]  # of the C library or of Python, by platform
    while waiting:
        descriptor = waiting.pop()
        if descriptor.name in found:
            continue
        found[descriptor.name] = record(**{field.name: _field(field) for field in descriptor.fields})
        waiting += _inner(descriptor)
    return dict(sorted(found.items()))


def _inner(descriptor: Any) -> Iterator[Any]:
    for field in descriptor.fields:
        kind = field.message_type
        if kind is not None and kind.full_name not in _KNOWN and not kind.GetOptions().map_entry:
            yield kind


def _field(field: Any) -> Schema:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return {"type": "object", "additionalProperties": _field(kind.fields_by_name["value"])}
    if kind is None:
        single = _scalar(field)
        return listing(single) if field.is_repeated else single
    single = _KNOWN.get(kind.full_name, {"$ref": _REFERENCE + kind.name})
    return listing(single) if field.is_repeated else nullable(single)


def _scalar(field: Any) -> Schema:
    if field.enum_type is not None:
        return {"type": "string", "enum": [words(field, value.number) for value in field.enum_type.values]}
    if field.type in _INTEGERS:
        return INTEGER
    if field.type in _NUMBERS:
        return {"type": ["number", "null"]}
    return FLAG if field.type == FieldDescriptor.TYPE_BOOL else TEXT
