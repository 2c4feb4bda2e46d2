"""The names under which pods are reached."""

from collections.abc import Mapping
from typing import Any

from milepost_operator.manifests.metadata import Owner
from milepost_operator.names import AGENT_PORT, HTTP_PORT, SERVICE_PORT, headless_name
from milepost_operator.observation import Object

PORT_NAME = "grpc"
HTTP = "http"
"""Name of the port of OpenAI's API."""


def port_of(owner: Owner) -> int:
    """The gRPC port of the owner's pods."""
    return AGENT_PORT if owner.role == "agent" else SERVICE_PORT


def ports_of(owner: Owner, *, answers_http: bool = False) -> dict[str, int]:
    """The ports of the owner's pods for clients, by name."""
    return {PORT_NAME: port_of(owner)} | ({HTTP: HTTP_PORT} if answers_http else {})


def service(
    owner: Owner,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    answers_http: bool = False,
) -> Object:
    """The Service for clients: only ready pods are behind it."""
    body = {"spec": {"type": "ClusterIP"} | _behind(owner, ports_of(owner, answers_http=answers_http))}
    return owner.child("v1", "Service", owner.name, body, labels=labels, annotations=annotations)


def headless_service(owner: Owner) -> Object:
    """The Service that gives every pod a DNS name of its own, ready or not."""
    spec = {"type": "ClusterIP", "clusterIP": "None", "publishNotReadyAddresses": True} | _behind(
        owner, ports_of(owner)
    )
    return owner.child("v1", "Service", headless_name(owner.name), {"spec": spec})


def _behind(owner: Owner, ports: Mapping[str, int]) -> dict[str, Any]:
    listed = [{"name": name, "port": port, "targetPort": name, "protocol": "TCP"} for name, port in ports.items()]
    return {"selector": owner.selector, "ports": listed}
