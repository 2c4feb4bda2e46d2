"""The names under which pods are reached."""

from collections.abc import Mapping
from typing import Any

from milepost_operator.manifests.metadata import Owner
from milepost_operator.names import AGENT_PORT, SERVICE_PORT, headless_name
from milepost_operator.observation import Object

PORT_NAME = "grpc"


def port_of(owner: Owner) -> int:
    """The gRPC port of the owner's pods."""
    return AGENT_PORT if owner.role == "agent" else SERVICE_PORT


def service(
    owner: Owner, *, labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None
) -> Object:
    """The Service for clients: only ready pods are behind it."""
    body = {"spec": {"type": "ClusterIP"} | _behind(owner)}
    return owner.child("v1", "Service", owner.name, body, labels=labels, annotations=annotations)


def headless_service(owner: Owner) -> Object:
    """The Service that gives every pod a DNS name of its own, ready or not."""
    spec = {"type": "ClusterIP", "clusterIP": "None", "publishNotReadyAddresses": True} | _behind(owner)
    return owner.child("v1", "Service", headless_name(owner.name), {"spec": spec})


def _behind(owner: Owner) -> dict[str, Any]:
    port = {"name": PORT_NAME, "port": port_of(owner), "targetPort": PORT_NAME, "protocol": "TCP"}
    return {"selector": owner.selector, "ports": [port]}
