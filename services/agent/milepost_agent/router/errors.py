"""What can go wrong inside the router; callers of `Router` never see these, the next path answers instead."""

from __future__ import annotations


class RouterError(Exception):
    """Root of the router's errors."""


class ModelUnusableError(RouterError):
    """A model cannot be loaded, is of another kind, or failed or was late while it ran."""


class StoppedError(RouterError):
    """A forward pass was told to end before it had."""


class HeadsUnusableError(RouterError):
    """The committed heads cannot be read or do not fit the embedding model."""
