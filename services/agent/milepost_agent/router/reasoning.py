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


def explain_embedding(
    nearest: NearestExample, tags: Mapping[str, float], services: Sequence[ScoredService], truncated: bool
) -> str:
    """Nearest example, the tag's lead over the next, and what follows for the services."""
    first, second = sorted(tags, key=lambda tag: -tags[tag])[:2]
    like = f'Nearest known example: "{_quote(nearest.query)}" ({nearest.label}, similarity {nearest.similarity:.2f})'
    lead = f"{_name(first)} {tags[first]:.2f} ahead of {_name(second)} {tags[second]:.2f}"
    cut = " Only the start and the end of the text were read." if truncated else ""
    return f"{like}; {lead}. {_outcome(services, tags[NONE])}{cut}"


def explain_keywords(
    matched: Mapping[str, Sequence[str]], tags: Mapping[str, float], services: Sequence[ScoredService], reason: str
) -> str:
    """The matched words of the best tag, and why no model was asked."""
    first = max(tags, key=lambda tag: tags[tag])
    words = ", ".join(f'"{_quote(word)}"' for word in matched.get(first, ())[:3])
    seen = f"{words} point to {_name(first)}" if words else "no tell-tale words were found"
    return f"By keyword rules ({reason}): {seen}. {_outcome(services, tags[NONE])}"


def _outcome(services: Sequence[ScoredService], none: float) -> str:
    if not services:
        return "No ready service carries a tag that fits."
    best = services[0]
    if none > best.confidence:
        return (
            f"Probably nothing here fits; the least far is {best.service} ({best.capability}, {best.confidence:.2f})."
        )
    return f"{best.service} fits best ({best.capability}, {best.confidence:.2f})."


def _name(tag: str) -> str:
    return "none fits" if tag == NONE else tag


def _quote(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= QUOTED_CHARACTERS else f"{one_line[: QUOTED_CHARACTERS - 1]}…"
