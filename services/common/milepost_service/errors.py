"""Errors that a person can act on; one tree for every service process."""

from __future__ import annotations


class MilepostError(Exception):
    """Root of the errors that Milepost raises on purpose."""


class ConfigurationError(MilepostError):
    """What was asked for cannot work; the message is one line: where, what, and what is allowed."""
