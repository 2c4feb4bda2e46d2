"""Rules by tell-tale words: what answers when there is no model. Crude, instant, never fails."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.tags import LABELS, NONE

MAX_CHARACTERS = 4000
SHARPNESS = 0.8
BASE_WEIGHTS = {"general": 0.8, NONE: 0.4}

_RULES: dict[str, tuple[tuple[float, str], ...]] = {
    "coding": (
        (2.5, r"\b(implement|refactor|debug|code up|scaffold|port this|unit tests? for|compile[sr]?)\b"),
        (2.0, r"\b(write|create|make|build|generate|add|fix|give me|need)\b.{0,40}"
              r"\b(function|class|script|code|program|query|endpoint|regex|module|decorator|migration|parser|tests?)\b"),
        (1.5, r"\b(python|java|javascript|typescript|rust|golang|go|kotlin|c\+\+|c#|sql|bash|html|css|react|docker"
              r"|dockerfile|kubernetes|terraform|makefile|numpy|pandas)\b"),
        (1.5, r"\b(exception|stack trace|segfault|traceback|bug|null pointer|loop|array|algorithm|api client)\b"),
        (1.5, r"(def \w+\(|=>|;\s*$|\{\s*$|#include|import \w+)"),
    ),
    "review": (
        (3.0, r"\b(review|critique|critici[sz]e|audit|proofread|feedback|nitpick|lgtm|assess(ment)?|scrutini[sz]e)\b"),
        (2.5, r"\b(look (over|at|through)|go (over|through)|check|inspect|examine|evaluate|judge|rate|verify)\b.{0,40}"
              r"\b(my|this|the|our|code|diff|patch|draft|answer|change|pull request)\b"),
        (2.0, r"\b(pull request|merge request|diff|code smells?|weakness(es)?|shortcomings?|what('s| is) wrong)\b"),
        (1.5, r"\b(is|are|does|can) (this|it|my|the)\b.{0,40}\b(safe|secure|correct|clean|ready|good enough)\b"),
    ),
    "rag": (
        (3.0, r"\b(according to|knowledge base|handbook|manual|documentation|wiki|runbook|cite|citations?|sources)\b"),
        (2.5, r"\b(docs?|documents?|pdf|policy|policies|contract|minutes|guide|specification|faq|archive|attached"
              r"|uploaded|report|transcripts?|lease|agreement|article|notes|changelog)\b"),
        (1.5, r"\b(find|search|look up|look for|retrieve|summari[sz]e|quote|research)\b"),
        (1.0, r"\b(section|chapter|paragraph|clause|passage|page)s?\b"),
    ),
    "tools": (
        (3.0, r"\d\s*[-+*/^x%]\s*\d|\d\s*(percent|%)"),
        (2.5, r"\b(calculate|compute|convert|calculator|divided by|times|multiply|square root|sum of|average of)\b"),
        (2.5, r"\b(what time|current time|time is it|today's date|what day|how many days|timer|alarm|remind me"
              r"|calendar|schedule|time zone|timestamp)\b"),
        (2.5, r"\b(weather|temperature|forecast|rain|exchange rate|stock price)\b"),
        (2.5, r"\bhttps?://|\b(fetch|ping|webhook|call the .{0,20}api|get request|endpoint and)\b"),
        (1.0, r"\b\d+ ?(km|miles?|kg|pounds?|dollars|euros?|celsius|fahrenheit|cups?|inches|feet|litres?)\b"),
    ),
    "general": (
        (2.0, r"\b(hello|hi|hey|thanks|thank you|good (morning|night)|joke|poem|haiku|story|riddle|limerick|toast)\b"),
        (1.5, r"\b(explain|why (do|does|is|are)|who (was|is|are|won|painted)|tell me|suggest|recommend|translate"
              r"|brainstorm|ideas|what is the|how do(es)?|describe)\b"),
        (1.0, r"\b(email|letter|message|speech|recipe|cook|birthday|advice|trip|name)\b"),
    ),
    NONE: (
        (3.0, r"\b(book|reserve|order|buy|rent|hire|purchase|redeem|donate)\b.{0,30}"
              r"\b(me|a|an|some|flight|table|room|taxi|pizza|tickets?|hotel|car)\b"),
        (3.0, r"\b(turn|switch) (on|off|up|down)|\b(dim|mute|volume|thermostat|lights?|playlist|song|tv)\b"),
        (3.0, r"\b(transfer|deposit|pay|block|freeze|cancel|unsubscribe|activate|upgrade|renew)\b.{0,30}"
              r"\b(account|card|bill|order|subscription|membership|plan|savings|money|passport|bank)\b"),
        (2.5, r"\b(my (bank|card|pin|account|salary|password|order|parcel|payment))\b|\bcall (my|me|a)\b|\bplay\b"),
    ),
}  # fmt: skip
_COMPILED = {
    tag: tuple((weight, re.compile(pattern, re.IGNORECASE | re.DOTALL)) for weight, pattern in rules)
    for tag, rules in _RULES.items()
}
_WORD = re.compile(r"[a-z0-9]{3,}")
_COMMON = set(_WORD.findall("the and for with what this that from how can you please are was does into when who why"))


@dataclass(frozen=True)
class KeywordScores:
    """Probabilities of LABELS, shape (6,), and the words that spoke for each tag."""

    probabilities: NDArray[np.float64]
    matched: dict[str, tuple[str, ...]]


def score_keywords(text: str) -> KeywordScores:
    """Judge the first MAX_CHARACTERS of a text by its words."""
    weights = np.array([BASE_WEIGHTS.get(label, 0.0) for label in LABELS])
    matched: dict[str, tuple[str, ...]] = {}
    for place, label in enumerate(LABELS):
        for weight, pattern in _COMPILED[label]:
            if found := pattern.search(text[:MAX_CHARACTERS]):
                weights[place] += weight
                matched[label] = (*matched.get(label, ()), " ".join(found.group().split())[:40])
    raised = np.exp(SHARPNESS * (weights - weights.max()))
    return KeywordScores(raised / raised.sum(), matched)


def overlap_odds(text: str, described: str) -> float:
    """Odds (0..4) that a service fits by the share of the text's words that its own words contain."""
    asked = set(_WORD.findall(text[:MAX_CHARACTERS].casefold())) - _COMMON
    known = set(_WORD.findall(described.casefold()))
    return 4.0 * len(asked & known) / len(asked) if asked else 0.0
