"""Messages of the contracts as plain JSON objects: every field is there, enums in words, whole numbers as numbers."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp


def to_json(message: Message) -> dict[str, Any]:
    """Snake-case fields as in the .proto, durations in seconds; an unset message field is None, an unset enum is ""."""
    form: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            form[field.name] = _repeated(field, value)
        elif field.message_type is not None:
            form[field.name] = _message(value) if message.HasField(field.name) else None
        else:
            form[field.name] = _scalar(field, value)
    return form


def enum_field(message: Message, name: str) -> str:
    """An enum field in words, see `words`."""
    return words(message.DESCRIPTOR.fields_by_name[name], getattr(message, name))


def words(enum: Any, number: int) -> str:
    """A value of an enum field, without its prefix: in lower case, outcomes in CamelCase, "" when unspecified."""
    kind = enum.enum_type
    if kind is None or number == 0 or number not in kind.values_by_number:
        return ""
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    name = str(kind.values_by_number[number].name).removeprefix(prefix)
    if kind.name == "RunOutcome":
        return "".join(part.capitalize() for part in name.split("_"))
    return name.lower().replace("_", " ")


def struct_to_json(struct: Struct) -> dict[str, Any]:
    return {key: _value(value) for key, value in struct.fields.items()}


def iso(time: Timestamp) -> str:
    """UTC, ISO 8601, milliseconds."""
    return time.ToDatetime(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_time(seconds: float) -> str:
    """As `iso`, of seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_time(time: Timestamp) -> datetime:
    return time.ToDatetime(tzinfo=UTC).astimezone()


def seconds_between(start: Timestamp, end: Timestamp) -> float:
    return (end.ToNanoseconds() - start.ToNanoseconds()) / 1e9


def _repeated(field: Any, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(value)
    return [_message(item) if field.message_type is not None else _scalar(field, item) for item in value]


def _message(value: Message) -> Any:
    if isinstance(value, Timestamp):
        return iso(value)
    if isinstance(value, Duration):
        return value.ToMilliseconds() / 1e3
    if isinstance(value, Struct):
        return struct_to_json(value)
    return to_json(value)


def _scalar(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        return words(field, value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _value(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return struct_to_json(value.struct_value)
    if kind == "list_value":
        items: ListValue = value.list_value
        return [_value(item) for item in items.values]
    if kind == "number_value":
        number = value.number_value
        if not math.isfinite(number):
            return None
        return int(number) if number.is_integer() else number
    if kind in ("string_value", "bool_value"):
        return getattr(value, kind)
    return None
