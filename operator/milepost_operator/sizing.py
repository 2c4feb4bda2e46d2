"""How much a workload gets: threads from the CPU limit, and whether a model fits into its memory."""

from dataclasses import dataclass
from math import ceil, floor

from milepost_crds import ResourceRequirements, parse_quantity

RUNTIME_BYTES = 256 * 1024 * 1024
"""What a model process needs besides weights and KV cache: interpreter, compute buffers, gRPC."""


def threads_for(cpu_limit: str | None, cpu_count: int) -> int:
    """Threads that compute: the CPU limit rounded down, at least 1 and never more than the cores that exist."""
    cores = cpu_count if cpu_limit is None else floor(parse_quantity(cpu_limit))
    return max(1, min(cores, cpu_count))


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a model service needs at most."""

    weights: int
    kv_cache: int
    runtime: int = RUNTIME_BYTES

    @property
    def total(self) -> int:
        """The sum in bytes."""
        return self.weights + self.kv_cache + self.runtime

    def fits(self, limit: str | None) -> bool:
        """Whether it stays within a memory limit; no limit fits everything."""
        return limit is None or self.total <= parse_quantity(limit)

    def smallest_limit(self) -> str:
        """The smallest memory limit that fits, in whole Mi."""
        return f"{ceil(self.total / 1024**2)}Mi"


@dataclass(frozen=True)
class ModelShape:
    """The numbers of a GGUF file that its KV cache follows from."""

    layers: int
    kv_heads: int
    head_dimension: int
    bytes_per_element: int = 2

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of keys and values that one token keeps over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dimension * self.bytes_per_element


def estimate_memory(weights: int, shape: ModelShape, *, context_tokens: int, sequences: int) -> MemoryEstimate:
    """Memory of a model whose file has `weights` bytes, with every sequence at its full context."""
    return MemoryEstimate(weights=weights, kv_cache=shape.kv_bytes_per_token * context_tokens * sequences)


def cpu_limit(resources: ResourceRequirements) -> str | None:
    """The CPU limit, or the request where only that is set."""
    return resources.limits.cpu or resources.requests.cpu
