"""The container of a resource: its image, its resources, what it is told and what it sees of the disk."""

from collections.abc import Mapping
from typing import Any

from milepost_crds import AGENT_BYTES, ROUTER_CONTEXT_TOKENS, AgentWorkflow, MemoryEstimate, ModelService
from milepost_operator.manifests import Container, digest
from milepost_operator.manifests.pod_template import Mount
from milepost_operator.names import (
    AGENT_PORT,
    DATA_VOLUME,
    HTTP_PORT,
    METRICS_PORT,
    SERVICE_PORT,
    configuration_name,
    target,
)
from milepost_operator.observation import Defaults, Resource
from milepost_operator.planning.known_models import ModelSize, known_size
from milepost_operator.planning.model_files import CACHE_DIR, file_environment, file_mounts
from milepost_operator.planning.sizing import (
    DEFAULTS,
    LIGHT_MODEL,
    Default,
    agent_default,
    effective_resources,
    model_default,
    tools_default,
)
from milepost_operator.planning.workload import (
    OBSERVABILITY_FILE,
    SERVICE_FILE,
    WORKFLOW_FILE,
    Workload,
    answers_http,
    configuration,
    role_of,
    workload_of,
)

CONFIGURATION_DIR = "/etc/milepost"
DATA_DIR = "/data"
DOCUMENTS_DIR = "/var/lib/milepost/documents"
API_KEY_FILE = "/var/run/secrets/milepost/api-key"

_MOST_CORES = 256
_TOLD_ONLY_TO_AGENTS = ("description", "capabilities", "examples")

Environment = Mapping[str, str | Mapping[str, Any]]


def resources_of(resource: Resource) -> dict[str, dict[str, str]]:
    """Requests and limits in force."""
    return effective_resources(resource.spec.resources, _default(resource))


def estimate_of(service: ModelService, size: ModelSize | None) -> MemoryEstimate | None:
    """Memory that the model of a service needs, or None where its size is not known or it has no model here."""
    engine = service.spec.llama_cpp
    if engine is None or size is None:
        return None
    return MemoryEstimate(size.weights_bytes, size.kv_bytes_per_token * engine.context_tokens * engine.sequences)


def router_estimate(workflow: AgentWorkflow) -> MemoryEstimate | None:
    """Memory that an agent with a router model needs, or None without one, or where its size is not known."""
    model = workflow.spec.router.model
    size = known_size(model.source) if model is not None else None
    if size is None:
        return None
    return MemoryEstimate(size.weights_bytes, size.kv_bytes_per_token * ROUTER_CONTEXT_TOKENS, AGENT_BYTES)


def planned_workload(resource: Resource) -> Workload:
    """The workload with the threads that the CPU limit in force allows."""
    return workload_of(resource, cpu_count=_MOST_CORES, cpu=resources_of(resource)["limits"]["cpu"])


def container_of(resource: Resource, workload: Workload, defaults: Defaults) -> Container:
    """The container that runs the workload in a pod."""
    return Container(
        image=getattr(defaults.images, workload.role),
        pull_policy=defaults.image_pull_policy,
        command=workload.command,
        resources=resources_of(resource),
        env=_environment(resource, workload, defaults),
        mounts=_mounts(resource, workload),
        answers_http=answers_http(resource),
    )


def config_hash(resource: Resource) -> str:
    """Hash of all that the process reads at its start and acts upon; a change of it replaces the pods."""
    read = configuration(resource)
    if isinstance(resource, ModelService):
        read["spec"] = {name: value for name, value in read["spec"].items() if name not in _TOLD_ONLY_TO_AGENTS}
    return digest(read)


def model_hash(service: ModelService) -> str:
    """Hash of which weights a service loads; "" where it loads none."""
    engine = service.spec.llama_cpp
    return digest([engine.source.as_manifest(), engine.quantization]) if engine is not None else ""


def _default(resource: Resource) -> Default:
    if isinstance(resource, AgentWorkflow):
        model = resource.spec.router.model
        return DEFAULTS["agent"] if model is None else agent_default(router_estimate(resource), model.threads)
    engine = resource.spec.llama_cpp
    if engine is not None:
        return model_default(estimate_of(resource, known_size(engine.source, engine.quantization)), engine.threads)
    if resource.spec.tools is not None:
        return tools_default(sum(server.command is not None for server in resource.spec.tools.mcp_servers))
    return LIGHT_MODEL if resource.spec.open_ai is not None else DEFAULTS[role_of(resource)]


def _environment(resource: Resource, workload: Workload, defaults: Defaults) -> Environment:
    env: dict[str, str | Mapping[str, Any]] = dict(workload.env)
    env["MILEPOST_METRICS_LISTEN"] = f"0.0.0.0:{METRICS_PORT}"
    if defaults.otlp_endpoint:
        env.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", defaults.otlp_endpoint)
    if isinstance(resource, AgentWorkflow):
        return (
            env
            | file_environment(resource, defaults)
            | {
                "MILEPOST_LISTEN": f"0.0.0.0:{AGENT_PORT}",
                "MILEPOST_WORKFLOW_FILE": f"{CONFIGURATION_DIR}/{WORKFLOW_FILE}",
                "MILEPOST_OBSERVABILITY_FILE": f"{CONFIGURATION_DIR}/{OBSERVABILITY_FILE}",
                "MILEPOST_DATA_DIR": DATA_DIR,
                "MILEPOST_REGISTRY": "kubernetes",
                "MILEPOST_NAMESPACE": _field("metadata.namespace"),
                "MILEPOST_POD_NAME": _field("metadata.name"),
            }
        )
    env["MILEPOST_LISTEN"] = f"0.0.0.0:{SERVICE_PORT}"
    env["MILEPOST_SERVICE_FILE"] = f"{CONFIGURATION_DIR}/{SERVICE_FILE}"
    if answers_http(resource):
        env["MILEPOST_HTTP_LISTEN"] = f"0.0.0.0:{HTTP_PORT}"
    if workload.model_ref is not None:
        env["MILEPOST_MODEL_TARGET"] = target(workload.model_ref, resource.metadata.namespace, "model")
    return env | file_environment(resource, defaults) | _engine_environment(resource)


def _engine_environment(service: ModelService) -> dict[str, str]:
    spec = service.spec
    if spec.rag is not None:
        claim = spec.rag.documents.persistent_volume_claim
        return {
            "MILEPOST_CACHE_DIR": CACHE_DIR,
            "MILEPOST_DATA_DIR": CACHE_DIR,
            "MILEPOST_DOCUMENTS_DIR": f"{DOCUMENTS_DIR}/{claim.path}" if claim else DOCUMENTS_DIR,
        }
    if spec.open_ai is not None and spec.open_ai.secret_ref is not None:
        return {"MILEPOST_API_KEY_FILE": API_KEY_FILE}
    return {}


def _field(path: str) -> dict[str, Any]:
    return {"fieldRef": {"fieldPath": path}}


def _mounts(resource: Resource, workload: Workload) -> list[Mount]:
    name = configuration_name(resource.name, workload.role)
    mounts = [
        Mount("configuration", CONFIGURATION_DIR, {"configMap": {"name": name}}, read_only=True),
        Mount("tmp", "/tmp", {"emptyDir": {}}),  # noqa: S108 -- the pod's own
    ]
    if isinstance(resource, AgentWorkflow):
        return [*mounts, Mount(DATA_VOLUME, DATA_DIR, None), *file_mounts(resource)]
    return [*mounts, *file_mounts(resource), *_engine_mounts(resource)]


def _engine_mounts(service: ModelService) -> list[Mount]:
    spec = service.spec
    if spec.rag is not None:
        documents = spec.rag.documents
        index = Mount("cache", CACHE_DIR, {"emptyDir": {}})
        if documents.persistent_volume_claim is not None:
            return [index, _claim("documents", DOCUMENTS_DIR, documents.persistent_volume_claim.claim_name)]
        assert documents.config_map is not None
        return [index, Mount("documents", DOCUMENTS_DIR, {"configMap": {"name": documents.config_map.name}}, True)]
    if spec.open_ai is not None and spec.open_ai.secret_ref is not None:
        key = spec.open_ai.secret_ref
        items = [{"key": key.key, "path": "api-key"}]
        source = {"secret": {"secretName": key.name, "items": items}}
        return [Mount("api-key", API_KEY_FILE.rpartition("/")[0], source, read_only=True)]
    return []


def _claim(name: str, path: str, claim_name: str) -> Mount:
    return Mount(name, path, {"persistentVolumeClaim": {"claimName": claim_name, "readOnly": True}}, read_only=True)
