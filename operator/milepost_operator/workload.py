"""Which processes a set of manifests asks for: one decision for local mode and cluster, without I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from milepost_crds import AgentWorkflow, ConfigMap, Manifest, ModelService, render_manifest
from milepost_operator.errors import PlanError
from milepost_operator.references import Catalogue, reference_problems
from milepost_operator.sizing import cpu_limit, threads_for

Role = Literal["agent", "model", "rag", "tools"]

_COMMANDS: Mapping[Role, tuple[str, ...]] = {
    "agent": ("milepost-agent",),
    "model": ("milepost-model",),
    "rag": ("milepost-rag",),
    "tools": ("milepost-tools",),
}
_START_ORDER: Sequence[Role] = ("model", "rag", "tools", "agent")


@dataclass(frozen=True)
class Workload:
    """One kind of process to run, with all that it is told; where it listens is for the caller to say.

    `env` and `files` are the same on one machine and in a cluster. `files` maps a file name to its content:
    "workflow.yaml" or "service.yaml" is the resource with its defaults filled in, "documents/NAME" comes from a
    ConfigMap. `model_ref` names the ModelService whose gRPC target the process needs.
    """

    name: str
    role: Role
    command: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, str]
    model_ref: str | None
    threads: int
    resource: AgentWorkflow | ModelService


def plan_workloads(manifests: Sequence[Manifest], *, cpu_count: int) -> list[Workload]:
    """The workloads in the order in which they start: models, then rag and tools, then agents.

    Raises:
        PlanError: names that are there twice, or references to what is not there or cannot do it.
    """
    catalogue = Catalogue.of(manifests)
    problems = reference_problems(manifests, catalogue)
    if problems:
        raise PlanError(problems)
    workloads: list[Workload] = []
    for manifest in manifests:
        resource = manifest.resource
        if isinstance(resource, AgentWorkflow):
            workloads.append(_agent(resource, cpu_count))
        elif isinstance(resource, ModelService):
            workloads.append(_service(resource, catalogue, manifest.namespace, cpu_count))
    return sorted(workloads, key=lambda workload: _START_ORDER.index(workload.role))


def unsupported_locally(workload: Workload) -> str | None:
    """Why this workload cannot run on one machine without a cluster, in one line; None if it can."""
    resource = workload.resource
    found = _workflow_needs(resource) if isinstance(resource, AgentWorkflow) else _service_needs(resource)
    return f"{resource.kind} {workload.name}: {found}" if found else None


def _workflow_needs(workflow: AgentWorkflow) -> str | None:
    if workflow.spec.checkpoint.backend == "postgres":
        return "spec.checkpoint.backend: postgres needs a cluster; allowed locally: sqlite"
    if workflow.spec.checkpoint.backup is not None:
        return "spec.checkpoint.backup: is not made yet; allowed locally: to leave it out"
    if workflow.spec.replicas > 1:
        return f"spec.replicas: {workflow.spec.replicas} pods need a cluster; allowed locally: 1"
    return None


def _service_needs(service: ModelService) -> str | None:
    spec = service.spec
    if spec.autoscaling is not None:
        return "spec.autoscaling: needs a cluster; allowed locally: replicas: 1"
    if spec.replicas != 1:
        return f"spec.replicas: {spec.replicas} pods need a cluster; allowed locally: 1"
    if spec.open_ai is not None:
        return "spec.openAI: is not served locally yet; allowed locally: llamaCpp, rag, tools"
    if spec.llama_cpp is not None and spec.llama_cpp.source.package is None:
        kind = next(
            name for name in ("url", "huggingFace", "persistentVolumeClaim") if spec.llama_cpp.source.is_set(name)
        )
        return f"spec.llamaCpp.source.{kind}: is not read locally yet; allowed locally: package"
    if spec.rag is not None and spec.rag.documents.config_map is None:
        return "spec.rag.documents.persistentVolumeClaim: needs a cluster; allowed locally: configMap"
    if spec.tools is not None and spec.tools.mcp_servers:
        return "spec.tools.mcpServers: are not called locally yet; allowed locally: builtIn"
    return None


def _agent(workflow: AgentWorkflow, cpu_count: int) -> Workload:
    threads = _light_threads(workflow, cpu_count)
    endpoint = workflow.spec.observability.otlp_endpoint
    manifest = workflow.as_manifest()
    manifest["spec"]["maxHops"] = workflow.spec.hop_limit
    return Workload(
        name=workflow.name,
        role="agent",
        command=_COMMANDS["agent"],
        env=_environment(threads) | ({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} if endpoint else {}),
        files={"workflow.yaml": render_manifest(manifest)},
        model_ref=None,
        threads=threads,
        resource=workflow,
    )


def _service(service: ModelService, catalogue: Catalogue, namespace: str, cpu_count: int) -> Workload:
    spec = service.spec
    threads = _light_threads(service, cpu_count)
    role: Role = "model"
    model_ref: str | None = None
    documents: ConfigMap | None = None
    if spec.llama_cpp is not None:
        threads = spec.llama_cpp.threads or threads_for(cpu_limit(spec.resources), cpu_count)
    elif spec.rag is not None:
        role, model_ref = "rag", spec.rag.model_ref.name
        if spec.rag.documents.config_map is not None:
            documents = catalogue.config_maps[namespace, spec.rag.documents.config_map.name]
    elif spec.tools is not None:
        role, model_ref = "tools", spec.tools.model_ref.name
    texts = documents.data if documents is not None else {}
    return Workload(
        name=service.name,
        role=role,
        command=_COMMANDS[role],
        env=_environment(threads),
        files={"service.yaml": render_manifest(service.as_manifest())}
        | {f"documents/{name}": text for name, text in sorted(texts.items())},
        model_ref=model_ref,
        threads=threads,
        resource=service,
    )


def _light_threads(resource: AgentWorkflow | ModelService, cpu_count: int) -> int:
    # Without a limit, what only embeds or forwards leaves the cores to the model.
    return threads_for(cpu_limit(resource.spec.resources) or "1", cpu_count)


def _environment(threads: int) -> dict[str, str]:
    return {"MILEPOST_THREADS": str(threads), "MILEPOST_LOG_LEVEL": "INFO", "MILEPOST_LOG_FORMAT": "json"}
