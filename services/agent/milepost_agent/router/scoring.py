"""From probabilities of tags to confidence in services. Pure.

A service gets the probability of its best tag; among services that share a tag, the one whose own words
fit best keeps all of it and the others a part. Tags that no head knows, and services with examples of
their own, compete by odds for what the best known tag leaves open, so that a confident head is hard to
overrule and an unsure one is not. "None fits" includes the chance of tags that no candidate carries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from milepost_agent.router.recommendation import Candidate, ScoredService
from milepost_agent.router.tags import NONE

BEST = 3
RELEVANT = 0.02  # below, a service is not recommended: none of its tags has to do with the text
SHARED_TAG_SHARPNESS = 0.5
SMALLEST_ODDS = 0.05  # words that say nothing still leave a service some of its tag's weight


@dataclass(frozen=True)
class Evidence:
    """A candidate with the odds (0..) that its own words fit; `speaks` when they may add to its tags' weight."""

    candidate: Candidate
    odds: float
    speaks: bool


@dataclass(frozen=True)
class Scores:
    """Services best first, not cut, and the probability that none fits."""

    services: tuple[ScoredService, ...]
    none_probability: float


def score(
    tag_probabilities: Mapping[str, float], evidence: Sequence[Evidence], capability: str | None = None
) -> Scores:
    """Combine; with `capability`, confidence is conditional on that tag, times the chance that anything fits."""
    known = _offered(tag_probabilities, evidence, capability)
    none = 1.0 - sum(known.values())
    open_share = 1.0 - max(known.values(), default=0.0)
    extra = {
        each.candidate.name: each.odds * open_share
        for each in evidence
        if each.speaks or not _known_tags(each.candidate, known)
    }
    total = 1.0 + max(extra.values(), default=0.0)
    best_odds = _best_odds_by_tag(evidence, known)
    services = []
    for each in evidence:
        tag, share = _best_tag(each, known, best_odds, capability)
        confidence = min((share + extra.get(each.candidate.name, 0.0)) / total, 1.0)
        services.append(ScoredService(each.candidate.name, tag, round(confidence, 4)))
    services.sort(key=lambda service: (-service.confidence, service.service))
    return Scores(tuple(services), round(max(none, 0.0) / total, 4))


def _offered(
    tag_probabilities: Mapping[str, float], evidence: Sequence[Evidence], capability: str | None
) -> dict[str, float]:
    """Probabilities of the known tags that count: those that a candidate carries, or all in the one asked for."""
    if capability is not None:
        return (
            {capability: 1.0 - tag_probabilities[NONE]}
            if capability in tag_probabilities and capability != NONE
            else {}
        )
    carried = {tag for each in evidence for tag in each.candidate.capabilities}
    return {tag: chance for tag, chance in tag_probabilities.items() if tag != NONE and tag in carried}


def _known_tags(candidate: Candidate, known: Mapping[str, float]) -> list[str]:
    return [tag for tag in candidate.capabilities if tag in known]


def _best_odds_by_tag(evidence: Sequence[Evidence], known: Mapping[str, float]) -> dict[str, float]:
    best: dict[str, float] = {}
    for each in evidence:
        for tag in _known_tags(each.candidate, known):
            best[tag] = max(best.get(tag, 0.0), each.odds)
    return best


def _best_tag(
    each: Evidence, known: Mapping[str, float], best_odds: Mapping[str, float], capability: str | None
) -> tuple[str, float]:
    """The tag that speaks most for the service, and what it contributes."""
    tags = _known_tags(each.candidate, known)
    if not tags:
        return capability or next(iter(each.candidate.capabilities), ""), 0.0
    tag = max(tags, key=lambda name: known[name])
    return tag, known[tag] * _closeness(each.odds, best_odds[tag])


def _closeness(odds: float, best: float) -> float:
    """1 for the service whose words fit best, less for others; 1 for all when nobody's words say anything."""
    return math.pow((odds + SMALLEST_ODDS) / (best + SMALLEST_ODDS), SHARED_TAG_SHARPNESS)
