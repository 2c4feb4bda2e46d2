"""The words of a decision, from its numbers."""

import pytest

from agent_harness import workflow
from milepost_agent.graph import initial_state
from milepost_agent.nodes.case import Case
from milepost_agent.nodes.choices import Score, priors, rank
from milepost_agent.nodes.reasons import explain
from milepost_agent.router import Recommendation, ScoredService
from milepost_agent.state import Output, RunState

DRAFT: Output = {
    "step": "code",
    "role": "coder",
    "service": "docs",
    "text": "draft",
    "verdict": "",
    "cycle": 0,
    "hop_index": 1,
}


def case(
    *confidences: float, left: int = 2, optional: bool = False, relevance: float = 1.0, draft: bool = False
) -> Case:
    """The first of three steps, with services coding-a and docs as far as there are confidences."""
    steps = [
        {"name": "code", "role": "coder", "capability": "coding", "optional": optional},
        {"name": "test", "role": "tester"},
        {"name": "tell", "role": "writer"},
    ]
    flow = workflow(steps=steps)
    state: RunState = {**initial_state(flow.spec, "go"), "remaining_hops": left, "relevance": relevance}
    names = zip(("coding-a", "docs"), confidences, strict=False)
    services = tuple(ScoredService(name, "coding", confidence) for name, confidence in names)
    recommendation = Recommendation(services, 1 - sum(confidences), "because", "embedding", 1.0)
    return Case(flow.spec, {**state, "outputs": [DRAFT] if draft else []}, flow.spec.steps[0], recommendation)


def reason(decided: Case, unheard: str = "", weight: float = 0.3, **evidence: float) -> str:
    prior = priors(decided)
    known = {f"invoke:{name.replace('_', '-')}": value for name, value in evidence.items()}
    scores = {choice: Score(known.get(choice, evidence.get(choice, 0.0)), 1, 0.0) for choice in prior}
    return explain(decided, rank(prior, {} if unheard else scores, weight), unheard)


@pytest.mark.requirement("ARB-1", "ARB-2")
def test_the_model_agrees_or_leans_elsewhere_or_tips_it() -> None:
    assert reason(case(0.66, 0.2), docs=-4.0) == (
        "coding-a (0.86) over docs (0.14): the router gave 0.66, model brain agrees; 2 of 3 hops left"
    )
    assert reason(case(0.66, 0.2), coding_a=-4.0) == (
        "coding-a (0.64) over docs (0.36): the router gave 0.66, model brain speaks for docs by a factor of 7.4, "
        "too little to tip it; 2 of 3 hops left"
    )
    assert reason(case(0.5, 0.45), coding_a=-4.0) == (
        "docs (0.62) over coding-a (0.38), which was recommended: the router gave 0.45, "
        "model brain speaks for it by a factor of 7.4; 2 of 3 hops left"
    )
    assert "model brain speaks for it by a factor of at least 148.4" in reason(case(0.5, 0.45), coding_a=-9.0)


def test_a_model_that_was_not_heard_or_not_asked_has_no_opinion() -> None:
    assert reason(case(0.66, 0.2), unheard="brain: Unavailable: gone: decided by the router's prior") == (
        "coding-a (0.77) over docs (0.23): the router gave 0.66; brain: Unavailable: gone: decided by the router's "
        "prior; 2 of 3 hops left"
    )
    assert reason(case(0.9)) == "coding-a is the only valid choice: the router gave 0.90; 2 of 3 hops left"
    assert reason(case(0.3)) == (
        "coding-a is the only valid choice: the router gave 0.30, below the threshold of 0.50, and there is no "
        "default service; 2 of 3 hops left"
    )


def test_to_skip_a_step_goes_by_what_the_request_needs() -> None:
    assert reason(case(0.9, optional=True, relevance=0.12)) == (
        "skip (0.88) over coding-a (0.12), which was recommended: the request needs coding with probability 0.12, "
        "model brain has no clear opinion; 2 of 3 hops left"
    )
    assert reason(case(0.9, optional=True, relevance=0.8)) == (
        "coding-a (0.80) over skip (0.20): the router gave 0.90 and the request needs coding with probability 0.80, "
        "model brain has no clear opinion; 2 of 3 hops left"
    )


def test_to_finish_goes_by_the_hops_that_are_missing() -> None:
    assert reason(case(0.9, left=1, draft=True)) == (
        "finish (0.55) over coding-a (0.45), which was recommended: there is a draft, and the end takes 3 more hops, "
        "model brain has no clear opinion; 1 of 3 hops left"
    )
