"""Why the arbitrator decided as it did, put together from the numbers. Nothing here is generated text."""

import math
from collections.abc import Sequence

from milepost_agent.nodes.case import Case
from milepost_agent.nodes.choices import FINISH, INVOKE, LARGEST_EVIDENCE, SKIP
from milepost_agent.state import Choice


def explain(case: Case, ranked: Sequence[Choice], unheard: str = "") -> str:
    """What was chosen over what, what router and model gave, and the hops that are left.

    Args:
        case: What was decided.
        ranked: The valid choices, best first.
        unheard: Why the model was not heard, where it was asked.
    """
    best = ranked[0]
    if len(ranked) == 1:
        head = f"{_name(best)} is the only valid choice: {_given(case, best)}"
    else:
        beaten = _recommended(case, ranked[1:])
        which = ", which was recommended" if beaten else ""
        head = f"{_share(best)} over {_share(beaten or ranked[1])}{which}: {_given(case, best)}"
        head += "" if unheard else f", {_opinion(case, ranked)}"
    return "; ".join(part for part in (head, unheard, _hops(case)) if part)


def explain_default(case: Case, default: str) -> str:
    return f"default service {default}: {_doubt(case)}; {_hops(case)}"


def explain_question(case: Case) -> str:
    return f"the user is asked: {_doubt(case)}; {_hops(case)}"


def explain_answer(case: Case, service: str) -> str:
    """The user named one of the services that the question offered."""
    return f"the user chose {service}: the router gave {case.confidences[service]:.2f}; {_hops(case)}"


def explain_nothing_fits(case: Case) -> str:
    best = f", {case.recommended} {case.confidence:.2f}" if case.recommended else ""
    default = case.spec.router.default_service
    remedy = (
        f"default service {default.name} is not ready for it"
        if default
        else "give the step a capability or the workflow a default service"
    )
    none = case.recommendation.none_probability
    return (
        f"NoServiceFits: step {case.step.name}: no ready service fits this request "
        f"(none fits {none:.2f}{best}); {remedy}"
    )


def _given(case: Case, choice: Choice) -> str:
    """What spoke for a choice before the model was heard."""
    if choice["choice"] == SKIP:
        return f"the request {_need(case)}"
    if choice["choice"] == FINISH:
        more = f"{case.hops_needed} more hop" + ("s" if case.hops_needed > 1 else "")
        return f"there is a draft, and the end takes {more}"
    gave = f"the router gave {case.confidences[_name(choice)]:.2f}"
    if case.step.optional:
        return f"{gave} and the request {_need(case)}"
    if not case.is_doubtful or case.step.service_ref:
        return gave
    default = case.spec.router.default_service
    otherwise = f"default service {default.name} is not ready for it" if default else "there is no default service"
    return f"{gave}, {_below(case)}, and {otherwise}"


def _need(case: Case) -> str:
    return f"needs {case.step.capability or 'the step'} with probability {case.state.get('relevance', 1.0):.2f}"


def _opinion(case: Case, ranked: Sequence[Choice]) -> str:
    """By how much the model speaks for the best against what was recommended, or whether it agrees with the best."""
    best, model = ranked[0], case.spec.arbitrator.model_ref.name
    favourite = max(ranked, key=lambda each: each["evidence"])
    if all(each["evidence"] == best["evidence"] for each in ranked):
        return f"model {model} has no clear opinion"
    beaten = _recommended(case, ranked[1:])
    if beaten and best["evidence"] > beaten["evidence"]:
        return f"model {model} speaks for it by a factor of {_factor(best['evidence'] - beaten['evidence'])}"
    if favourite["evidence"] == best["evidence"]:
        return f"model {model} agrees"
    factor = _factor(favourite["evidence"] - best["evidence"])
    return f"model {model} speaks for {_name(favourite)} by a factor of {factor}, too little to tip it"


def _recommended(case: Case, choices: Sequence[Choice]) -> Choice | None:
    """The service that the router recommends first, if it is among these."""
    return next((each for each in choices if each["choice"] == INVOKE + case.recommended), None)


def _factor(nats: float) -> str:
    return f"{'at least ' if nats >= LARGEST_EVIDENCE else ''}{math.exp(nats):.1f}"


def _doubt(case: Case) -> str:
    gave = f"the router gave {case.recommended} {case.confidence:.2f}" if case.recommended else "no service was found"
    return f"{gave}, {_below(case)}"


def _below(case: Case) -> str:
    return f"below the threshold of {case.spec.router.confidence_threshold:.2f}"


def _hops(case: Case) -> str:
    return f"{case.state['remaining_hops']} of {case.state['max_hops']} hops left"


def _share(choice: Choice) -> str:
    return f"{_name(choice)} ({choice['probability']:.2f})"


def _name(choice: Choice) -> str:
    return choice["choice"].removeprefix(INVOKE)
