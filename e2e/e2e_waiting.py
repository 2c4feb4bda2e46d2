"""Waiting for a condition, with a failure that says what was seen last."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

import grpc
import yaml
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

Seen = TypeVar("Seen")
PAUSE_SECONDS = 0.2
SHOWN_CHARACTERS = 4_000
PASSING = (ApiException, HTTPError, grpc.RpcError, OSError, LookupError)
"""What may be raised while something is not there yet."""


def eventually(
    what: str,
    look: Callable[[], Seen],
    good: Callable[[Seen], object] = bool,
    *,
    within: float,
    explain: Callable[[], str] | None = None,
) -> Seen:
    """The first value of `look` that is `good`. `within` is in seconds.

    Raises:
        AssertionError: there was none in time; it names what was seen last, and what `explain` says of it.
    """
    started = time.monotonic()
    while True:
        try:
            seen = look()
            if good(seen):
                return seen
            last = shown(seen)
        except PASSING as error:
            last = f"{type(error).__name__}: {one_line(error)}"
        if time.monotonic() - started > within:
            more = f"\n{explain()}" if explain else ""
            raise AssertionError(f"{what}: not within {within:.0f} s; seen last: {last}{more}")
        time.sleep(PAUSE_SECONDS)


def stays(what: str, look: Callable[[], Seen], *, seconds: float) -> Seen:
    """The value of `look`, the same for that long. Raises AssertionError when it changes."""
    first = look()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(PAUSE_SECONDS)
        assert look() == first, f"{what} changed from {shown(first)} to {shown(look())}"
    return first


def shown(value: object) -> str:
    """A value for a failure message; objects of the API server as YAML."""
    text = repr(value)
    if isinstance(value, (dict, list)):
        with contextlib.suppress(yaml.YAMLError):  # messages of gRPC are none
            text = "\n" + yaml.safe_dump(value, sort_keys=False, default_flow_style=None)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " ..."


def one_line(error: Exception) -> str:
    if isinstance(error, grpc.Call):
        return f"{error.code().name} {error.details()}"
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason} {str(error.body)[:300]}"
    return str(error)[:300]
