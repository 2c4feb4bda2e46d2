"""Whether a model fits into the memory of its container, asked before any of it is loaded."""

from milepost_crds import LlamaCpp, MemoryEstimate
from milepost_model.embedder import EMBEDDING_TOKENS
from milepost_service.errors import ConfigurationError
from milepost_service.models import GgufHeader

_MI = 1024**2
_LOGIT_BYTES = 4


def require_memory(header: GgufHeader, spec: LlamaCpp, limit: int | None) -> None:
    """Raises ConfigurationError when weights, KV cache and runtime need more than `limit` bytes."""
    cache = header.kv_bytes(spec.context_tokens, spec.sequences)
    estimate = MemoryEstimate(weights=header.file_bytes, kv_cache=cache + _embedding_bytes(header, spec))
    if limit is None or estimate.total <= limit:
        return
    raise ConfigurationError(
        f"spec.resources.limits.memory: {limit // _MI}Mi is too little for {estimate.weights // _MI}Mi of weights, "
        f"{estimate.kv_cache // _MI}Mi of KV cache (llamaCpp.contextTokens {spec.context_tokens} x llamaCpp.sequences "
        f"{spec.sequences}) and {estimate.runtime // _MI}Mi of runtime; allowed: {estimate.smallest_limit()} or more, "
        "fewer contextTokens or sequences, or a smaller model"
    )


def _embedding_bytes(header: GgufHeader, spec: LlamaCpp) -> int:
    """Bytes of the second context, which embeds: its cache, and the logits that llama.cpp computes twice over."""
    per_token = header.kv_bytes_per_token
    if not spec.embeddings or not per_token:
        return 0
    return EMBEDDING_TOKENS * (per_token + 2 * _LOGIT_BYTES * header.vocabulary_size)
