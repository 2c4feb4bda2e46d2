"""Why, in a sentence or two, put together from the numbers. Nothing here is generated text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from milepost_agent.router.recommendation import ScoredService
from milepost_agent.router.tags import NONE

QUOTED_CHARACTERS = 80


@dataclass(frozen=True)
class NearestExample:
    """A training example and its cosine (-1..1) with the text."""

    query: str
    label: str
    similarity: float


@dataclass(frozen=True)
class Asked:
    """The capability that the caller fixed, or None, and how many ready services came into question."""

    capability: str | None
    services: int


def explain_embedding(
    nearest: NearestExample,
    tags: Mapping[str, float],
    services: Sequence[ScoredService],
    asked: Asked,
    truncated: bool,
) -> str:
    """What follows for the services, how the text reads, and the example that it is nearest to."""
    first, second = sorted(tags, key=lambda tag: -tags[tag])[:2]
    reads = f"The text reads as {_name(first)} {tags[first]:.2f}, ahead of {_name(second)} {tags[second]:.2f}"
    like = f'nearest known example: "{_quote(nearest.query)}" ({nearest.label}, similarity {nearest.similarity:.2f})'
    cut = " Only what in it reads most like a request was read." if truncated else ""
    return f"{_outcome(services, tags[NONE], asked)} {reads}; {like}.{cut}"


def explain_language_model(
    model: str, tags: Mapping[str, float], services: Sequence[ScoredService], asked: Asked, truncated: bool
) -> str:
    """What follows for the services, and how the model reads the text."""
    first, second = sorted(tags, key=lambda tag: -tags[tag])[:2]
    reads = f"{model} reads the text as {_name(first)} {tags[first]:.2f}, ahead of {_name(second)} {tags[second]:.2f}"
    cut = " Only its start and its end were read." if truncated else ""
    return f"{_outcome(services, tags[NONE], asked)} {reads}.{cut}"


def explain_keywords(
    matched: Mapping[str, Sequence[str]],
    tags: Mapping[str, float],
    services: Sequence[ScoredService],
    asked: Asked,
    reason: str,
) -> str:
    """What follows for the services, the matched words of the best tag, and why no model was asked."""
    first = max(tags, key=lambda tag: tags[tag])
    words = ", ".join(f'"{_quote(word)}"' for word in matched.get(first, ())[:3])
    seen = f"{words} point to {_name(first)}" if words else "no tell-tale words were found"
    return f"{_outcome(services, tags[NONE], asked)} By keyword rules, {seen} ({reason})."


def _outcome(services: Sequence[ScoredService], none: float, asked: Asked) -> str:
    if not services:
        return "No ready service carries a tag that fits."
    best = services[0]
    if asked.capability and asked.services == 1:
        return f"{best.service} is the only ready service with {asked.capability}."
    if none > best.confidence:
        return (
            f"Probably nothing here fits; the least far is {best.service} ({best.capability}, {best.confidence:.2f})."
        )
    among = f" of {asked.services} ready services with {asked.capability}" if asked.capability else ""
    return f"{best.service} fits best{among} ({best.capability}, {best.confidence:.2f})."


def _name(tag: str) -> str:
    return "none fits" if tag == NONE else tag


def _quote(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= QUOTED_CHARACTERS else f"{one_line[: QUOTED_CHARACTERS - 1]}…"
