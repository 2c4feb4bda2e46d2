"""What can go wrong inside the router; callers of `Router` never see these, the next path answers instead."""

from __future__ import annotations


class RouterError(Exception):
    """Root of the router's errors."""


class ModelUnusableError(RouterError):
    """The embedding model cannot be loaded, is of another kind, or failed while it ran."""


class HeadsUnusableError(RouterError):
    """The committed heads cannot be read or do not fit the embedding model."""
