"""Whether a model fits into the memory of its container, asked before any of it is loaded."""

from milepost_crds import RUNTIME_BYTES, LlamaCpp, MemoryEstimate
from milepost_model.embedder import EMBEDDING_TOKENS
from milepost_model.scheduler import BATCH_TOKENS
from milepost_service.errors import ConfigurationError
from milepost_service.models import GgufHeader

_MI = 1024**2
_LOGIT_BYTES = 4
_LOGITS_IN_RUNTIME = 128 * _MI
"""Logits of a batch that the runtime has room for: those of 131,072 words."""


def require_memory(header: GgufHeader, spec: LlamaCpp, limit: int | None) -> None:
    """Raises ConfigurationError when weights, KV cache and runtime need more than `limit` bytes."""
    estimate = memory_of(header, spec)
    if limit is None or estimate.total <= limit:
        return
    raise ConfigurationError(
        f"spec.resources.limits.memory: {limit // _MI}Mi is too little for {estimate.weights // _MI}Mi of weights, "
        f"{estimate.kv_cache // _MI}Mi of KV cache (llamaCpp.contextTokens {spec.context_tokens} x llamaCpp.sequences "
        f"{spec.sequences}) and {estimate.runtime // _MI}Mi of runtime; allowed: {estimate.smallest_limit()} or more, "
        "fewer contextTokens or sequences, or a smaller model"
    )


def memory_of(header: GgufHeader, spec: LlamaCpp) -> MemoryEstimate:
    """What the process with this model needs at most."""
    return MemoryEstimate(
        weights=header.file_bytes,
        kv_cache=header.kv_bytes(spec.context_tokens, spec.sequences) + _embedding_bytes(header, spec),
        runtime=RUNTIME_BYTES + max(0, _logits_of(header, BATCH_TOKENS) - _LOGITS_IN_RUNTIME),
    )


def _embedding_bytes(header: GgufHeader, spec: LlamaCpp) -> int:
    """Bytes of the second context, which embeds: its cache and its logits."""
    per_token = header.kv_bytes_per_token
    if not spec.embeddings or not per_token:
        return 0
    return EMBEDDING_TOKENS * per_token + _logits_of(header, EMBEDDING_TOKENS)


def _logits_of(header: GgufHeader, tokens: int) -> int:
    """Bytes of the logits of so many tokens; llama.cpp has them twice, where they are computed and where read."""
    return 2 * tokens * _LOGIT_BYTES * header.vocabulary_size
