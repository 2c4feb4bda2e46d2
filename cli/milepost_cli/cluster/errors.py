"""Errors of talking to a cluster."""

from __future__ import annotations

from milepost_cli.errors import CliError


class ClusterError(CliError):
    """The cluster cannot be used as asked: kubeconfig, context, namespace, permission, or it cannot be reached."""


class UnreachableError(ClusterError):
    """The API server does not answer; it may later."""


class ForbiddenError(ClusterError):
    """The API server knows the user and denies the request, or does not know the user."""


class DialError(Exception):
    """A pod cannot be connected now; the message is one line."""


class RefusedError(DialError):
    """The API server denies the connection; another try cannot help. `status` is 401 or 403."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
