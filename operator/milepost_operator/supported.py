"""What the schema takes and nothing does yet: refused here, because the process would pass over it in silence."""

from collections.abc import Iterator

from milepost_crds import AgentWorkflow, ModelService
from milepost_operator.conditions import Problem
from milepost_operator.observation import Resource


def unsupported(resource: Resource) -> list[Problem]:
    """What is asked for and not there, one problem for each field."""
    found = _workflow(resource) if isinstance(resource, AgentWorkflow) else _service(resource)
    return [Problem("NotSupported", message) for message in found]


def _workflow(workflow: AgentWorkflow) -> Iterator[str]:
    checkpoint = workflow.spec.checkpoint
    if checkpoint.backend != "sqlite":
        yield f"spec.checkpoint.backend: {checkpoint.backend} is not there yet; allowed: sqlite"
    if checkpoint.backup is not None:
        yield "spec.checkpoint.backup: is not made yet; allowed: to leave it out"


def _service(service: ModelService) -> Iterator[str]:
    spec = service.spec
    if spec.autoscaling is not None:
        yield "spec.autoscaling: is not there yet; allowed: spec.replicas"
    if spec.tools is not None and spec.tools.mcp_servers:
        yield "spec.tools.mcpServers: are not called yet; allowed: builtIn"
    if spec.tools is not None and spec.tools.http_fetch is not None:
        yield "spec.tools.httpFetch: is not served yet; allowed: calculator and clock in builtIn"
