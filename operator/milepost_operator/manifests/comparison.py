"""Whether an object is already what we want, whatever the API server and others added to it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from milepost_crds import parse_quantity
from milepost_operator.observation import Object

_HASH_LENGTH = 16
_AMOUNTS = {"limits", "requests"}
_MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("port", "containerPort"),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""Lists that the API server merges by these keys, so that they may hold entries of others."""


def digest(content: Any) -> str:
    """Hash of JSON-able data, whatever the order of its keys; 16 hexadecimal digits."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


def in_sync(desired: Object, found: Object) -> bool:
    """Whether `found` was last applied from `desired` (its hash is one of the annotations) and still has all of it.

    What the server defaults and what others add is passed over; amounts of compute and storage count by value.
    """
    return _holds(desired, found, "")


def _holds(wanted: Any, found: Any, field: str) -> bool:
    if found is None:
        return wanted in (None, "", [], {})  # the server leaves out what is empty
    # Most parts are as they were sent, and Python compares those much faster than what follows.
    if isinstance(wanted, dict | list) and wanted == found:
        return True
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return False
        if field in _AMOUNTS:
            return all(_same_amount(amount, found.get(name)) for name, amount in wanted.items())
        return all(_holds(value, found.get(name), name) for name, value in wanted.items())
    if isinstance(wanted, list | tuple):
        return isinstance(found, list | tuple) and _holds_all(wanted, found, field)
    return type(wanted) is type(found) and bool(wanted == found)


def _holds_all(wanted: Sequence[Any], found: Sequence[Any], field: str) -> bool:
    keys = _MERGE_KEYS.get(field)
    if keys is None:
        return len(wanted) == len(found) and all(
            _holds(one, other, "") for one, other in zip(wanted, found, strict=True)
        )
    return all(any(_is_same(item, other, keys) and _holds(item, other, "") for other in found) for item in wanted)


def _is_same(item: Any, other: Any, keys: Sequence[str]) -> bool:
    return all(item.get(key) == other.get(key) for key in keys if key in item)


def _same_amount(wanted: Any, found: Any) -> bool:
    if found is None:
        return False
    try:
        return parse_quantity(str(wanted)) == parse_quantity(str(found))
    except ValueError:
        return bool(wanted == found)
