"""The pods of every role: one container, no rights, everything it needs mounted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from milepost_crds import Scheduling
from milepost_operator.manifests.metadata import Owner
from milepost_operator.manifests.service import port_of, ports_of
from milepost_operator.names import ANNOTATION_CONFIG_HASH, CONTAINER, METRICS_PORT
from milepost_operator.observation import Object

USER_ID = 10001
LIVENESS = "liveness"
"""Health service that says whether the process lives; the empty name says whether it is ready."""
METRICS = "metrics"
"""Name of the port that Prometheus reads."""
SCRAPED = {"prometheus.io/scrape": "true", "prometheus.io/port": str(METRICS_PORT)}
"""By these a Prometheus without monitors of its operator finds the pods."""
GRACE_SECONDS = 30
"""An agent drains for 5 s and lets calls end for 10 s; a service lets calls end for 10 s after it left the network."""
LEAVE_SECONDS = 3
"""How long a service goes on after its end was announced, until nobody is sent to it any more."""


@dataclass(frozen=True)
class Mount:
    """A volume and where it is seen; `source` is the volume without its name, None for one of a claim template."""

    name: str
    path: str
    source: Mapping[str, Any] | None
    read_only: bool = False


@dataclass(frozen=True)
class Container:
    """The one container of a pod. `env` maps names to values, or to where a value comes from (`valueFrom`)."""

    image: str
    pull_policy: str
    command: Sequence[str]
    resources: Mapping[str, Mapping[str, str]]
    env: Mapping[str, str | Mapping[str, Any]]
    mounts: Sequence[Mount] = field(default_factory=tuple)
    answers_http: bool = False


def pod_template(
    owner: Owner,
    container: Container,
    scheduling: Scheduling,
    *,
    config_hash: str,
    labels: Mapping[str, str] | None = None,
) -> Object:
    """The template; a changed `config_hash` replaces the pods. `labels` are those besides the owner's."""
    spec = {
        "serviceAccountName": owner.name,
        "automountServiceAccountToken": owner.role == "agent",
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(owner, container)],
        "volumes": [{"name": each.name} | dict(each.source) for each in container.mounts if each.source is not None],
    }
    return {
        "metadata": {
            "labels": owner.labels | dict(labels or {}),
            "annotations": {ANNOTATION_CONFIG_HASH: config_hash} | SCRAPED,
        },
        "spec": spec | _placement(owner, scheduling),
    }


def _container(owner: Owner, container: Container) -> dict[str, Any]:
    built = {
        "name": CONTAINER,
        "image": container.image,
        "imagePullPolicy": container.pull_policy,
        "command": list(container.command),
        "env": [_variable(name, value) for name, value in sorted(container.env.items())],
        "ports": _ports(owner, container),
        "resources": {kind: dict(amounts) for kind, amounts in container.resources.items()},
        "volumeMounts": [_mount(each) for each in container.mounts],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return built | _probes(port_of(owner)) | _leaving(owner)


def _ports(owner: Owner, container: Container) -> list[dict[str, Any]]:
    ports = ports_of(owner, answers_http=container.answers_http) | {METRICS: METRICS_PORT}
    return [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()]


def _probes(port: int) -> dict[str, Any]:
    # Busy cores delay answers: an answer may take 5 s, and one that is late alone ends nothing.
    alive = {"grpc": {"port": port, "service": LIVENESS}, "timeoutSeconds": 5}
    return {
        "startupProbe": alive | {"periodSeconds": 1, "failureThreshold": 300},
        "livenessProbe": alive | {"periodSeconds": 10, "failureThreshold": 6},
        "readinessProbe": {"grpc": {"port": port}, "timeoutSeconds": 5, "periodSeconds": 2, "failureThreshold": 3},
    }


def _leaving(owner: Owner) -> dict[str, Any]:
    if owner.role == "agent":
        return {}  # there is no other pod that could be called instead
    return {"lifecycle": {"preStop": {"sleep": {"seconds": LEAVE_SECONDS}}}}


def _variable(name: str, value: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "value": value} if isinstance(value, str) else {"name": name, "valueFrom": dict(value)}


def _mount(mount: Mount) -> dict[str, Any]:
    return {"name": mount.name, "mountPath": mount.path} | ({"readOnly": True} if mount.read_only else {})


def _placement(owner: Owner, scheduling: Scheduling) -> dict[str, Any]:
    # An empty selector means everything and a missing one nothing, so that defaults are left out and empty parts not.
    given = scheduling.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    names = ("nodeSelector", "tolerations", "affinity", "priorityClassName", "imagePullSecrets")
    placement = {name: given[name] for name in names if given.get(name)}
    spread = given.get("topologySpreadConstraints", [])
    if spread:
        own = {"labelSelector": {"matchLabels": owner.selector}}
        placement["topologySpreadConstraints"] = [own | constraint for constraint in spread]
    return placement
