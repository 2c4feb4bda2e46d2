"""The choices that are valid now, and how prior and model combine.

The posterior of a choice is proportional to prior * likelihood ** weight. The prior comes from the router, the
likelihood is the geometric mean of the model's token probabilities of the choice, the weight is
`spec.arbitrator.weight`.
"""

import math
from collections.abc import Mapping

from milepost_agent.router import Recommendation
from milepost_agent.state import Choice, RunState, best_draft
from milepost_crds import AgentWorkflowSpec, Step

FINISH = "finish"
SKIP = "skip"
INVOKE = "invoke:"
SMALLEST_PRIOR = 1e-3
FINISH_PRIOR = 0.05
FINISH_PRIOR_UNDER_PRESSURE = 0.75


def priors(spec: AgentWorkflowSpec, state: RunState, step: Step, recommendation: Recommendation) -> dict[str, float]:
    """The valid choices with their prior probabilities, which sum to 1.

    A step that may be skipped is skipped with the probability that the request does not need its capability.
    Services share the rest by the router's confidence.
    """
    relevance = state.get("relevance", 1.0) if step.optional else 1.0
    confidences = {each.service: max(each.confidence, SMALLEST_PRIOR) for each in recommendation.services}
    known = sum(confidences.values())
    weights = {INVOKE + name: max(relevance * share / known, SMALLEST_PRIOR) for name, share in confidences.items()}
    if step.optional:
        weights[SKIP] = max(1 - relevance, SMALLEST_PRIOR)
    total = sum(weights.values())
    finish = _finish_prior(spec, state, step)
    shares = {choice: weight / total * (1 - finish) for choice, weight in weights.items()} if total else {}
    return shares | ({FINISH: finish if total else 1.0} if finish else {})


def _finish_prior(spec: AgentWorkflowSpec, state: RunState, step: Step) -> float:
    """0 when finishing is not valid: there must be a draft, and either an optional step or too few hops left."""
    if not best_draft(state["outputs"]):
        return 0.0
    needed = hops_to_end(spec, step)
    pressure = max(0.0, 1 - state["remaining_hops"] / needed)
    if not step.optional and pressure == 0:
        return 0.0
    return FINISH_PRIOR + FINISH_PRIOR_UNDER_PRESSURE * pressure


def hops_to_end(spec: AgentWorkflowSpec, step: Step) -> int:
    """Hops that a run needs from this step to its end when every review approves."""
    names = [each.name for each in spec.steps]
    return len(names) - names.index(step.name)


def rank(prior: Mapping[str, float], scores: Mapping[str, float], weight: float) -> list[Choice]:
    """Choices by falling posterior; without scores the posterior is the prior."""
    logits = {choice: math.log(share) + weight * scores.get(choice, 0.0) for choice, share in prior.items()}
    highest = max(logits.values())
    total = sum(math.exp(logit - highest) for logit in logits.values())
    ranked: list[Choice] = [
        {
            "choice": choice,
            "probability": math.exp(logit - highest) / total,
            "prior": prior[choice],
            "log_probability": scores.get(choice, 0.0),
        }
        for choice, logit in logits.items()
    ]
    return sorted(ranked, key=lambda each: each["probability"], reverse=True)
