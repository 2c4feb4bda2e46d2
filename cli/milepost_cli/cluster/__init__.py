"""Milepost in a Kubernetes cluster. The only part of the CLI that imports the client of Kubernetes."""

from __future__ import annotations

import shlex
from contextlib import closing
from pathlib import Path

from milepost_cli.cluster.access import Access
from milepost_cli.cluster.backend import ClusterBackend
from milepost_cli.cluster.errors import ClusterError
from milepost_cli.cluster.gateway import find_gateway
from milepost_cli.cluster.gateway_page import show_page
from milepost_cli.cluster.portforward import PortForwardDialer

__all__ = ["ClusterBackend", "ClusterError", "connect", "forward_ui"]


def connect(namespace: str | None, context: str | None, kubeconfig: str | None) -> ClusterBackend:
    """The agents of a namespace; what is not named comes from the kubeconfig. Raises ClusterError."""
    access = Access.of(Path(kubeconfig) if kubeconfig else None, context)
    chosen = namespace or access.namespace
    named = {"-n": chosen, "--context": context, "--kubeconfig": kubeconfig}
    option = "".join(f" {flag} {shlex.quote(value)}" for flag, value in named.items() if value)
    return ClusterBackend(access, PortForwardDialer(access, chosen), chosen, option)


def forward_ui(namespace: str | None, context: str | None, kubeconfig: str | None, *, opening: bool) -> int:
    """The web UI of the gateway, until Ctrl-C; what is not named comes from the kubeconfig. Raises ClusterError."""
    access = Access.of(Path(kubeconfig) if kubeconfig else None, context)
    with closing(access):
        gateway = find_gateway(access, namespace or access.namespace)
        return show_page(access, PortForwardDialer(access, gateway.namespace), gateway, opening=opening)
