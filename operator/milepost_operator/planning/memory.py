"""Whether the model of a service fits into its memory limit, as far as its size is known."""

from milepost_crds import LlamaCpp, ModelService, parse_quantity
from milepost_operator.names import ANNOTATION_MODEL_HASH
from milepost_operator.observation import Observed
from milepost_operator.planning.conditions import Problem
from milepost_operator.planning.containers import estimate_of, model_hash, resources_of
from milepost_operator.planning.known_models import ModelSize, known_size
from milepost_operator.planning.rollout import rollout_of, workload_key

_LEAST_CONTEXT = 256


def measured_size(service: ModelService, observed: Observed) -> ModelSize | None:
    """Size of the model as its process told it, if that was the model that is asked for now."""
    deployment = observed.children.get(workload_key(service))
    annotations = (deployment or {}).get("metadata", {}).get("annotations") or {}
    if not deployment or annotations.get(ANNOTATION_MODEL_HASH) != model_hash(service):
        return None
    described = observed.description
    if described is not None and described.weights_bytes and rollout_of(service, observed).complete:
        return ModelSize(described.weights_bytes, described.kv_bytes_per_token)
    stored = service.status.model if service.status is not None else None
    weights, per_token = getattr(stored, "weights_bytes", None), getattr(stored, "kv_bytes_per_token", None)
    return ModelSize(weights, per_token or 0) if weights else None


def memory_problem(service: ModelService, observed: Observed) -> Problem | None:
    """What to change so that the model fits; None if it does, or if nobody knows."""
    engine = service.spec.llama_cpp
    if engine is None:
        return None
    estimate = estimate_of(service, measured_size(service, observed) or known_size(engine))
    limit = resources_of(service)["limits"]["memory"]
    if estimate is None or estimate.fits(limit):
        return None
    message = (
        f"spec.resources.limits.memory: {limit} is too little for the model ({_mebi(estimate.weights)} weights, "
        f"{_mebi(estimate.kv_cache)} KV cache for {engine.sequences} x {engine.context_tokens} tokens, "
        f"{_mebi(estimate.runtime)} besides); allowed: {estimate.smallest_limit()} or more"
    )
    spare = int(parse_quantity(limit)) - estimate.weights - estimate.runtime
    return Problem("MemoryTooSmall", message + _smaller_context(engine, spare, estimate.kv_cache))


def _smaller_context(engine: LlamaCpp, spare: int, kv_cache: int) -> str:
    tokens = spare * engine.context_tokens // kv_cache if kv_cache else 0
    if tokens < _LEAST_CONTEXT:
        return ""
    fewer = f", or spec.llamaCpp.contextTokens of at most {tokens}"
    return fewer + (", or fewer spec.llamaCpp.sequences" if engine.sequences > 1 else "")


def _mebi(count: int) -> str:
    return f"{round(count / 1024**2)}Mi"
