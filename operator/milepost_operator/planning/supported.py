"""What the schema takes and nothing does yet: refused here, because the process would pass over it in silence."""

from collections.abc import Iterator
from itertools import chain

from milepost_crds import AgentWorkflow, ModelService
from milepost_operator.observation import Resource
from milepost_operator.planning.conditions import Problem


def unsupported(resource: Resource) -> list[Problem]:
    """What is asked for and not there, one problem for each field."""
    return [Problem("NotSupported", message) for message in _nowhere(resource)]


def unsupported_locally(resource: Resource) -> str | None:
    """Why a resource cannot run on one machine without a cluster, in one line; None if it can."""
    found = next(chain(_nowhere(resource), _only_in_a_cluster(resource)), None)
    return f"{resource.kind} {resource.name}: {found}" if found else None


def _nowhere(resource: Resource) -> Iterator[str]:
    return _in_no_workflow(resource) if isinstance(resource, AgentWorkflow) else _in_no_service(resource)


def _in_no_workflow(workflow: AgentWorkflow) -> Iterator[str]:
    checkpoint = workflow.spec.checkpoint
    if checkpoint.backend != "sqlite":
        yield f"spec.checkpoint.backend: {checkpoint.backend} is not there yet; allowed: sqlite"


def _in_no_service(service: ModelService) -> Iterator[str]:
    spec = service.spec
    if spec.autoscaling is not None:
        yield "spec.autoscaling: is not there yet; allowed: spec.replicas"


def _only_in_a_cluster(resource: Resource) -> Iterator[str]:
    if resource.spec.replicas != 1:
        yield f"spec.replicas: {resource.spec.replicas} pods need a cluster; allowed locally: 1"
