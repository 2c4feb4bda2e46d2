"""What messages of every OTLP signal are made of: attributes, text and times, set on protobuf's messages in place.

OpenTelemetry's own encoder takes records of its SDK and makes each part of them on its own; this takes a third of the
time, all of which is taken from the runs of the same process.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value]

_MOST: Final = 2**63


def set_attributes(target: Any, attributes: Attributes) -> None:
    """Adds to a repeated field of `KeyValue`. A number that the protocol cannot hold is sent as text."""
    for key, value in attributes.items():
        _set(target.add(key=key).value, value)


def _set(target: Any, value: Value) -> None:
    if isinstance(value, str):
        target.string_value = clean(value)
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        if -_MOST <= value < _MOST:
            target.int_value = value
        else:
            target.string_value = str(value)
    elif isinstance(value, float):
        target.double_value = value
    else:
        target.array_value.SetInParent()
        for each in value:
            target.array_value.values.add(string_value=clean(each))


def clean(text: str) -> str:
    """The text without halves of surrogate pairs, which protobuf refuses: undecodable names of files have such."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def nanoseconds(time: float) -> int:
    """Of seconds since the epoch, as OTLP counts them."""
    return max(int(time * 1_000_000_000), 0)
