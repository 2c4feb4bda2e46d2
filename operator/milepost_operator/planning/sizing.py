"""How much a workload gets: threads from the CPU limit, and resources where its resource names none."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor

from milepost_crds import MemoryEstimate, ResourceRequirements, parse_quantity
from milepost_operator.names import Role


def threads_for(cpu_limit: str | None, cpu_count: int) -> int:
    """Threads that compute: the CPU limit rounded down, at least 1 and never more than the cores that exist."""
    cores = cpu_count if cpu_limit is None else floor(parse_quantity(cpu_limit))
    return max(1, min(cores, cpu_count))


def cpu_limit(resources: ResourceRequirements) -> str | None:
    """The CPU limit, or the request where only that is set."""
    return resources.limits.cpu or resources.requests.cpu


@dataclass(frozen=True)
class Default:
    """What a pod of a role asks for, and may use at most, where its resource says nothing."""

    cpu_request: str
    cpu_limit: str
    memory_request: str
    memory_limit: str


DEFAULTS: Mapping[Role, Default] = {
    "agent": Default("100m", "1", "256Mi", "1Gi"),
    "model": Default("500m", "2", "1Gi", "4Gi"),
    "rag": Default("100m", "1", "256Mi", "768Mi"),
    "tools": Default("50m", "500m", "128Mi", "256Mi"),
}
LIGHT_MODEL = Default("50m", "500m", "128Mi", "256Mi")
"""A model that is somewhere else, behind a URL."""
_STEP = 256 * 1024**2
_HEADROOM = 1.25


def model_default(estimate: MemoryEstimate | None, threads: int | None) -> Default:
    """The default of a model served here: room for what is known of it, and a core for each thread asked for."""
    default = DEFAULTS["model"]
    cpu = str(threads) if threads is not None else default.cpu_limit
    if estimate is None:
        return Default(default.cpu_request, cpu, default.memory_request, default.memory_limit)
    memory = f"{max(2, ceil(estimate.total * _HEADROOM / _STEP)) * 256}Mi"
    return Default(default.cpu_request, cpu, memory, memory)


def agent_default(estimate: MemoryEstimate | None, threads: int) -> Default:
    """The default of an agent with a router model: room for what is known of it, and a core for each of its threads."""
    default = DEFAULTS["agent"]
    cpu = str(threads + 1)
    if estimate is None:
        return Default(default.cpu_request, cpu, DEFAULTS["model"].memory_request, DEFAULTS["model"].memory_limit)
    memory = f"{ceil(estimate.total * _HEADROOM / _STEP) * 256}Mi"
    return Default(default.cpu_request, cpu, memory, memory)


def tools_default(children: int) -> Default:
    """The default of tools, with room for each MCP server that runs beside them as a child process."""
    default = DEFAULTS["tools"]
    return Default(default.cpu_request, default.cpu_limit, f"{128 + 64 * children}Mi", f"{256 + 128 * children}Mi")


def effective_resources(given: ResourceRequirements, default: Default) -> dict[str, dict[str, str]]:
    """Requests and limits of a container, both always there, so that a namespace with quotas takes the pod.

    A limit that is given without its request is the request too, as in Kubernetes.
    """
    cpu = _pair(given.requests.cpu, given.limits.cpu, default.cpu_request, default.cpu_limit)
    memory = _pair(given.requests.memory, given.limits.memory, default.memory_request, default.memory_limit)
    found = {name: {"cpu": c, "memory": m} for name, c, m in zip(("requests", "limits"), cpu, memory, strict=True)}
    for name, amounts in (("requests", given.requests), ("limits", given.limits)):
        if amounts.ephemeral_storage is not None:
            found[name]["ephemeral-storage"] = amounts.ephemeral_storage
    return found


def _pair(request: str | None, limit: str | None, default_request: str, default_limit: str) -> tuple[str, str]:
    if limit is not None:
        return request or limit, limit
    if request is None:
        return default_request, default_limit
    return request, max(request, default_limit, key=parse_quantity)
