"""How much memory a model takes: one formula for whoever plans it and for whoever loads it."""

from dataclasses import dataclass
from math import ceil

from milepost_crds.units import parse_quantity

RUNTIME_BYTES = 256 * 1024 * 1024
"""What a model process needs besides weights and KV cache: interpreter, compute buffers, gRPC."""

AGENT_BYTES = 512 * 1024 * 1024
"""What an agent needs besides weights and KV cache of a router model: its own work, and compute buffers."""

ROUTER_CONTEXT_TOKENS = 1024
"""Context of a router model: a prompt of about 650 tokens, and the request."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a process with a model needs at most."""

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
