"""What the CLI reads from objects of the API server: workflows, services and pods, as far as it shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from milepost.agent.v1 import agent_pb2
from milepost.registry.v1 import registry_pb2
from milepost_cli.backend import Readiness
from milepost_cli.text import one_line

Object = Mapping[str, Any]

GROUP = "milepost.dev"
API = f"/apis/{GROUP}/v1alpha1"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_COMPONENT = "app.kubernetes.io/component"
MANAGED = "app.kubernetes.io/managed-by=milepost-operator"
AGENT = "agent"
AGENT_PORT = 50051
LONGEST_SET_NAME = 52


@dataclass(frozen=True)
class Pod:
    """`up` says that its container runs, `trouble` in one line why a pod that is not ready is not."""

    name: str
    instance: str
    component: str
    up: bool
    ready: bool
    restarts: int
    port: int
    trouble: str

    @classmethod
    def of(cls, pod: Object) -> Pod:
        metadata, status = pod["metadata"], pod.get("status") or {}
        labels = metadata.get("labels") or {}
        containers: Sequence[Object] = status.get("containerStatuses") or ()
        ready = _condition(pod, "Ready").get("status") == "True" and not metadata.get("deletionTimestamp")
        return cls(
            name=metadata["name"],
            instance=labels.get(LABEL_INSTANCE, ""),
            component=labels.get(LABEL_COMPONENT, ""),
            up=bool(containers) and all("running" in (one.get("state") or {}) for one in containers),
            ready=ready,
            restarts=sum(int(one.get("restartCount", 0)) for one in containers),
            port=_grpc_port(pod),
            trouble="" if ready else _trouble(pod, containers),
        )


@dataclass(frozen=True)
class Workflow:
    """An AgentWorkflow. `pods` are the names of those that it should have; `progressing` unless the operator denies."""

    name: str
    pods: Sequence[str]
    ready: Readiness
    degraded: bool
    progressing: bool
    endpoint: str
    described: agent_pb2.GetAgentResponse

    @classmethod
    def of(cls, workflow: Object) -> Workflow:
        name, spec = workflow["metadata"]["name"], workflow.get("spec") or {}
        described = agent_pb2.GetAgentResponse(
            workflow=name,
            pattern=str(spec.get("pattern", "")),
            max_hops=int(spec.get("maxHops") or (5 if spec.get("pattern") == "cyclic" else 3)),
            max_cycles=int((spec.get("cycle") or {}).get("maxCycles") or 0),
        )
        for step in spec.get("steps") or ():
            described.steps.add(
                name=str(step.get("name", "")),
                role=str(step.get("role", "")),
                capability=str(step.get("capability") or ""),
                service=str((step.get("serviceRef") or {}).get("name") or ""),
                requires_approval=bool(step.get("requireApproval")),
            )
        return cls(
            name=name,
            pods=[f"{_set_name(name)}-{ordinal}" for ordinal in range(int(spec.get("replicas", 1)))],
            ready=_readiness(workflow),
            degraded=_condition(workflow, "Degraded").get("status") == "True",
            progressing=_condition(workflow, "Progressing").get("status") != "False",
            endpoint=_endpoint(workflow, AGENT_PORT),
            described=described,
        )


@dataclass(frozen=True)
class OperatedService:
    """A ModelService: as it would be registered, with its state unspecified, and what the operator says of it."""

    registered: registry_pb2.Service
    ready: Readiness

    @classmethod
    def of(cls, service: Object) -> OperatedService:
        spec = service.get("spec") or {}
        registered = registry_pb2.Service(
            name=service["metadata"]["name"],
            target=_endpoint(service, 50052),
            capabilities=[str(tag) for tag in spec.get("capabilities") or ()],
            description=str(spec.get("description") or ""),
            examples=[str(example) for example in spec.get("examples") or ()],
        )
        return cls(registered, _readiness(service))


def _set_name(workflow: str) -> str:
    """Name of its StatefulSet. The operator's own rule is only loaded for the few names that it shortens."""
    if len(workflow) <= LONGEST_SET_NAME:
        return workflow
    from milepost_operator.names import child_name  # noqa: PLC0415 - brings all models along, half a second

    return child_name(workflow, limit=LONGEST_SET_NAME)


def ready_text(ready: Readiness) -> str:
    """The condition as the end of a sentence, without a full stop."""
    if not ready.reason:
        return "the operator has said nothing about it yet; is it running?"
    return one_line(": ".join(part for part in (ready.reason, ready.message) if part), 500).rstrip(".")


def _readiness(resource: Object) -> Readiness:
    condition = _condition(resource, "Ready")
    return Readiness(
        str(condition.get("status", "Unknown")), str(condition.get("reason", "")), str(condition.get("message", ""))
    )


def _condition(resource: Object, kind: str) -> Object:
    conditions: Sequence[Object] = (resource.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), {})


def _endpoint(resource: Object, port: int) -> str:
    metadata = resource["metadata"]
    given = (resource.get("status") or {}).get("endpoint")
    return str(given or f"{metadata['name']}.{metadata.get('namespace', '')}.svc:{port}")


def _grpc_port(pod: Object) -> int:
    for container in (pod.get("spec") or {}).get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name") == "grpc":
                return int(port["containerPort"])
    return AGENT_PORT


def _trouble(pod: Object, containers: Sequence[Object]) -> str:
    """ "Pending: Unschedulable: 0/1 nodes are available", "CrashLoopBackOff: back-off 10s; it said last: no disk"."""
    if pod["metadata"].get("deletionTimestamp"):
        return "it is being deleted"
    for container in containers:
        state = container.get("state") or {}
        for kind in ("waiting", "terminated"):
            if kind in state:
                return _stopped(state[kind] or {}, container)
    status = pod.get("status") or {}
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"{status.get('phase', 'Pending')}: {_joined(scheduled)}"
    return f"{status.get('phase', 'Pending')}, not ready"


def _stopped(state: Object, container: Object) -> str:
    last = (container.get("lastState") or {}).get("terminated") or {}
    words = (last.get("message") or "").strip().splitlines()
    said = f"; it said last: {words[-1]}" if words else ""
    return one_line(f"{_joined(state) or 'not started'}{said}", 400)


def _joined(state: Object) -> str:
    return one_line(": ".join(str(state[part]) for part in ("reason", "message") if state.get(part)), 300)
