"""The choices that are valid now, and how prior and model combine.

    posterior(choice) = prior(choice) * exp(weight * evidence(choice)), over the sum of that for all choices
    gain(choice)      = log p(choice | prompt) - log p(choice | the same prompt without its content), in nats
    evidence(choice)  = -clip(best gain - gain(choice) - NOISE, 0, LARGEST_EVIDENCE)

The prior is the router's: its confidence in a service over that in all services that may be chosen. The evidence is
what the request itself makes of a choice in the eyes of the model; the content-free prompt takes away what small models
owe to the length and the words of a choice, and to the router's opinion, which is in the prior and would count twice.
Differences up to NOISE say nothing: so far the wording alone moves a small model (fitted to the tuning set, where
smaller values overruled recommendations that were right). Beyond that a choice counts as at most
e ** LARGEST_EVIDENCE times less likely than the best. The weight is `spec.arbitrator.weight`
in [0, 1]; 0 follows the router. So with the weight 0.3 the model moves the odds of two choices by a factor of 4.5 at
most, and with 1.0 by 148.

The set of choices is a function of the checkpointed state and the recommendation: no text adds to it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from milepost_agent.nodes.case import Case
from milepost_agent.state import Choice, best_draft

FINISH = "finish"
SKIP = "skip"
INVOKE = "invoke:"
SMALLEST_PRIOR = 1e-3
FINISH_PRIOR = 0.05
FINISH_PRIOR_UNDER_PRESSURE = 0.75
NOISE = 2.0
LARGEST_EVIDENCE = 5.0


@dataclass(frozen=True)
class Score:
    """What the model makes of a choice: log-probability in all and over its tokens, and in all without content."""

    log_probability: float
    tokens: int
    baseline: float


def priors(case: Case) -> dict[str, float]:
    """The valid choices with their prior probabilities, which sum to 1.

    A step that may be skipped is skipped with the probability that the request does not need its capability.
    Services share the rest by the router's confidence.
    """
    relevance = case.state.get("relevance", 1.0) if case.step.optional else 1.0
    confidences = {name: max(given, SMALLEST_PRIOR) for name, given in case.confidences.items()}
    known = sum(confidences.values())
    weights = {INVOKE + name: max(relevance * share / known, SMALLEST_PRIOR) for name, share in confidences.items()}
    if case.step.optional:
        weights[SKIP] = max(1 - relevance, SMALLEST_PRIOR)
    total = sum(weights.values())
    finish = _finish_prior(case)
    shares = {choice: weight / total * (1 - finish) for choice, weight in weights.items()} if total else {}
    return shares | ({FINISH: finish if total else 1.0} if finish else {})


def _finish_prior(case: Case) -> float:
    """0 when finishing is not valid: there must be a draft, and either an optional step or too few hops left.

    It grows with every hop that is missing to the end: the fewer are left, the more the run leans to what it has.
    """
    if not best_draft(case.state["outputs"]):
        return 0.0
    if not case.step.optional and not case.hops_missing:
        return 0.0
    return FINISH_PRIOR + FINISH_PRIOR_UNDER_PRESSURE * case.hops_missing / case.hops_needed


def rank(prior: Mapping[str, float], scores: Mapping[str, Score], weight: float) -> list[Choice]:
    """Choices by falling posterior; without scores the posterior is the prior. `scores` has all choices or none."""
    evidence = _evidence(scores) or dict.fromkeys(prior, 0.0)
    logits = {choice: math.log(share) + weight * evidence[choice] for choice, share in prior.items()}
    highest = max(logits.values())
    total = sum(math.exp(logit - highest) for logit in logits.values())
    ranked: list[Choice] = [
        {
            "choice": choice,
            "probability": math.exp(logit - highest) / total,
            "prior": prior[choice],
            "log_probability": scores[choice].log_probability / scores[choice].tokens if scores else 0.0,
            "evidence": evidence[choice],
        }
        for choice, logit in logits.items()
    ]
    return sorted(ranked, key=lambda each: each["probability"], reverse=True)


def _evidence(scores: Mapping[str, Score]) -> dict[str, float]:
    """In [-LARGEST_EVIDENCE, 0]: 0 for the choice that the request speaks for most, and for those that come near it."""
    gains = {choice: score.log_probability - score.baseline for choice, score in scores.items()}
    best = max(gains.values(), default=0.0)
    return {choice: -min(max(best - gain - NOISE, 0.0), LARGEST_EVIDENCE) for choice, gain in gains.items()}
