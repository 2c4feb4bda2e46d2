"""Whether a model fits into the memory limit of its process, as far as its size is known."""

from milepost_crds import ROUTER_CONTEXT_TOKENS, AgentWorkflow, LlamaCpp, MemoryEstimate, ModelService, parse_quantity
from milepost_operator.names import ANNOTATION_MODEL_HASH
from milepost_operator.observation import Observed, Resource
from milepost_operator.planning.conditions import Problem
from milepost_operator.planning.containers import estimate_of, model_hash, resources_of, router_estimate
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


def memory_problem(resource: Resource, observed: Observed) -> Problem | None:
    """What to change so that the model fits; None if it does, or if nobody knows."""
    if isinstance(resource, AgentWorkflow):
        return _router_problem(resource)
    engine = resource.spec.llama_cpp
    if engine is None:
        return None
    known = measured_size(resource, observed) or known_size(engine.source, engine.quantization)
    estimate = estimate_of(resource, known)
    limit = resources_of(resource)["limits"]["memory"]
    if estimate is None or estimate.fits(limit):
        return None
    message = _too_little(limit, "the model", estimate, f"{engine.sequences} x {engine.context_tokens}")
    spare = int(parse_quantity(limit)) - estimate.weights - estimate.runtime
    return Problem("MemoryTooSmall", message + _smaller_context(engine, spare, estimate.kv_cache))


def _router_problem(workflow: AgentWorkflow) -> Problem | None:
    estimate, limit = router_estimate(workflow), resources_of(workflow)["limits"]["memory"]
    if estimate is None or estimate.fits(limit):
        return None
    return Problem("MemoryTooSmall", _too_little(limit, "spec.router.model", estimate, str(ROUTER_CONTEXT_TOKENS)))


def _too_little(limit: str, model: str, estimate: MemoryEstimate, tokens: str) -> str:
    return (
        f"spec.resources.limits.memory: {limit} is too little for {model} ({_mebi(estimate.weights)} weights, "
        f"{_mebi(estimate.kv_cache)} KV cache for {tokens} tokens, "
        f"{_mebi(estimate.runtime)} besides); allowed: {estimate.smallest_limit()} or more"
    )


def _smaller_context(engine: LlamaCpp, spare: int, kv_cache: int) -> str:
    tokens = spare * engine.context_tokens // kv_cache if kv_cache else 0
    if tokens < _LEAST_CONTEXT:
        return ""
    fewer = f", or spec.llamaCpp.contextTokens of at most {tokens}"
    return fewer + (", or fewer spec.llamaCpp.sequences" if engine.sequences > 1 else "")


def _mebi(count: int) -> str:
    return f"{round(count / 1024**2)}Mi"
