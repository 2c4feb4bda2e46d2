"""Asks the router every query, and reads each recommendation as probabilities of the labels."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from milepost_agent.evaluation.metrics import Floats
from milepost_agent.evaluation.queries import LabelledQueries
from milepost_agent.router import Recommendation, Recommender


@dataclass(frozen=True)
class Answers:
    """What a router answered to N queries: probabilities (N, L), milliseconds (N,), and which path answered."""

    probabilities: Floats
    milliseconds: Floats
    paths: Mapping[str, int]
    fallback_reason: str | None
    """The first reason that was given for another path than the best."""


def ask(router: Recommender, queries: LabelledQueries, tell: Callable[[int], None] = lambda done: None) -> Answers:
    """One recommendation a query, one after the other; `tell` hears after each how many are done."""
    tags = {service.name: frozenset(service.capabilities) for service in queries.services}
    rows, times, paths, reasons = [], [], Counter[str](), []
    for number, (example, target) in enumerate(zip(queries.examples, queries.targets, strict=True), start=1):
        started = time.perf_counter()
        answer = router.recommend(example.query, queries.services)
        times.append((time.perf_counter() - started) * 1000)
        rows.append(label_probabilities(answer, tags, queries.labels, queries.labels[target]))
        paths[answer.path] += 1
        reasons += [answer.fallback_reason] if answer.fallback_reason else []
        tell(number)
    return Answers(np.array(rows), np.array(times), paths, next(iter(reasons), None))


def label_probabilities(
    answer: Recommendation, tags: Mapping[str, Iterable[str]], labels: Sequence[str], wanted: str
) -> list[float]:
    """The confidence of the best recommended service for each label, and the probability of none as the last.

    A service with several tags (`tags`, by its name) counts for the wanted label when it carries that, else for the
    tag that the router scored it by. What the recommendation does not name has probability 0.
    """
    found = dict.fromkeys(labels, 0.0)
    for service in answer.services:
        label = wanted if wanted in tags[service.service] else service.capability
        found[label] = max(found[label], service.confidence)
    found[labels[-1]] = answer.none_probability
    return list(found.values())
