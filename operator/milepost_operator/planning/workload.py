"""Which process a resource asks for, and what it is told: one decision for local mode and cluster, without I/O."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from milepost_crds import (
    AgentWorkflow,
    ConfigMap,
    Manifest,
    ModelService,
    ModelSource,
    Scheduling,
    VolumePath,
    render_manifest,
)
from milepost_operator.errors import PlanError
from milepost_operator.names import Role
from milepost_operator.planning.references import Catalogue, reference_problems
from milepost_operator.planning.sizing import cpu_limit, threads_for

WORKFLOW_FILE = "workflow.yaml"
SERVICE_FILE = "service.yaml"
OBSERVABILITY_FILE = "observability"
"""Holds the observability mode in one word, beside the workflow: a change of it needs no other process."""

_START_ORDER: Sequence[Role] = ("model", "rag", "tools", "agent")
_PLACEMENT = {field.alias for field in Scheduling.model_fields.values()}
_NOT_READ = _PLACEMENT | {"replicas", "autoscaling"}
_STORAGE = ("storage", "reclaimPolicy")


@dataclass(frozen=True)
class Workload:
    """One kind of process to run, with all that it is told; where it listens is for the caller to say.

    `env` and `files` are the same on one machine and in a cluster. `files` maps a file name to its content:
    "workflow.yaml" or "service.yaml" is the resource with its defaults filled in, without what only says where and how
    often it runs; "documents/NAME" comes from a ConfigMap. `model_ref` names the ModelService whose gRPC target the
    process needs.
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
        if not isinstance(resource, ConfigMap):
            documents = _documents(resource, catalogue, manifest.namespace)
            workloads.append(workload_of(resource, cpu_count=cpu_count, documents=documents))
    return sorted(workloads, key=lambda workload: _START_ORDER.index(workload.role))


def workload_of(
    resource: AgentWorkflow | ModelService,
    *,
    cpu_count: int,
    cpu: str | None = None,
    documents: Mapping[str, str] | None = None,
) -> Workload:
    """The workload of one resource, whatever else exists.

    `cpu` is the CPU limit in force where the resource names none; `documents` are texts by name that the process is
    to find as files.
    """
    is_workflow = isinstance(resource, AgentWorkflow)
    role = role_of(resource)
    threads = _threads(resource, cpu_limit(resource.spec.resources) or cpu, cpu_count)
    files = {WORKFLOW_FILE if is_workflow else SERVICE_FILE: _rendered(json.dumps(configuration(resource)))}
    if isinstance(resource, AgentWorkflow):
        files[OBSERVABILITY_FILE] = f"{resource.spec.observability.mode}\n"
    files |= {f"documents/{name}": text for name, text in sorted((documents or {}).items())}
    return Workload(
        name=resource.name,
        role=role,
        command=(f"milepost-{role}",),
        env=_environment(resource, threads),
        files=files,
        model_ref=model_ref_of(resource),
        threads=threads,
        resource=resource,
    )


def configuration(resource: AgentWorkflow | ModelService) -> dict[str, Any]:
    """The resource as its process reads it at its start, with all defaults filled in.

    Without what only says where and how often it runs, and without the observability mode, which has a file of its own.
    """
    spec = {name: value for name, value in resource.spec.as_manifest().items() if name not in _NOT_READ}
    if isinstance(resource, AgentWorkflow):
        spec["maxHops"] = resource.spec.hop_limit
        spec["observability"] = {name: value for name, value in spec["observability"].items() if name != "mode"}
        spec["checkpoint"] = {name: value for name, value in spec["checkpoint"].items() if name not in _STORAGE}
    elif "llamaCpp" in spec:
        spec["llamaCpp"] = {name: value for name, value in spec["llamaCpp"].items() if name != "cache"}
    metadata = {"name": resource.metadata.name, "namespace": resource.metadata.namespace}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}


@lru_cache(maxsize=2048)
def _rendered(manifest: str) -> str:
    # Writing YAML costs more than all the rest of a plan, and a resource is planned many times.
    return render_manifest(json.loads(manifest))


def role_of(resource: AgentWorkflow | ModelService) -> Role:
    """Which kind of process serves the resource."""
    if isinstance(resource, AgentWorkflow):
        return "agent"
    if resource.spec.rag is not None:
        return "rag"
    return "tools" if resource.spec.tools is not None else "model"


def answers_http(resource: AgentWorkflow | ModelService) -> bool:
    """Whether the process answers OpenAI's API beside gRPC."""
    return isinstance(resource, ModelService) and resource.spec.llama_cpp is not None


def model_ref_of(resource: AgentWorkflow | ModelService) -> str | None:
    """Name of the ModelService that writes for this one."""
    if isinstance(resource, AgentWorkflow):
        return None
    engine = resource.spec.rag or resource.spec.tools
    return engine.model_ref.name if engine is not None else None


def source_of(resource: AgentWorkflow | ModelService) -> ModelSource | None:
    """Where the model comes from that the process loads, if it loads one that the resource names."""
    engine = resource.spec.router.model if isinstance(resource, AgentWorkflow) else resource.spec.llama_cpp
    return engine.source if engine is not None else None


def model_claim_of(resource: AgentWorkflow | ModelService) -> VolumePath | None:
    """Where on a claim the model lies that the process loads, if it lies on one."""
    source = source_of(resource)
    return source.persistent_volume_claim if source is not None else None


def _documents(
    resource: AgentWorkflow | ModelService, catalogue: Catalogue, namespace: str
) -> Mapping[str, str] | None:
    if isinstance(resource, AgentWorkflow) or resource.spec.rag is None:
        return None
    named = resource.spec.rag.documents.config_map
    return catalogue.config_maps[namespace, named.name].data if named is not None else None


def _threads(resource: AgentWorkflow | ModelService, limit: str | None, cpu_count: int) -> int:
    llama = resource.spec.llama_cpp if isinstance(resource, ModelService) else None
    if llama is not None:
        return llama.threads or threads_for(limit, cpu_count)
    # Without a limit, what only embeds or forwards leaves the cores to the model.
    return threads_for(limit or "1", cpu_count)


def _environment(resource: AgentWorkflow | ModelService, threads: int) -> dict[str, str]:
    env = {"MILEPOST_THREADS": str(threads), "MILEPOST_LOG_LEVEL": "INFO", "MILEPOST_LOG_FORMAT": "json"}
    endpoint = resource.spec.observability.otlp_endpoint if isinstance(resource, AgentWorkflow) else None
    return env | ({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} if endpoint else {})
