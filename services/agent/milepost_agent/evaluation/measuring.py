"""Puts an evaluation together: the router's answers and the baselines, by the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from milepost_agent.evaluation import baselines
from milepost_agent.evaluation.answers import ask
from milepost_agent.evaluation.metrics import Quality, latency, measure, reliability
from milepost_agent.evaluation.progress import Progress
from milepost_agent.evaluation.queries import LabelledQueries
from milepost_agent.evaluation.report import Report
from milepost_agent.router import Recommender
from milepost_agent.router.errors import RouterError


def measured(
    router: Recommender,
    model: Path,
    queries: LabelledQueries,
    cold_ms: float,
    *,
    data: Path,
    notes: tuple[str, ...],
    larger: bool,
    progress: Progress,
) -> Report:
    """Ask the router, which has read what the services say of themselves by then, and compare with the baselines.

    `model` is its embedding model, which is a baseline itself beside a `larger` one.
    """
    router.learn(queries.services)
    answers = ask(router, queries, progress.count)
    progress.say("baselines")
    targets = np.array(queries.targets, dtype=np.int64)
    by_centroid, hindrance = _by_centroid(queries, model)
    compared: dict[str, Quality | None] = {
        "majority": measure(baselines.majority(queries), targets),
        "keyword": measure(baselines.keyword(queries), targets),
        "centroid": by_centroid,
    }
    if larger:
        compared["embedding"] = measure(baselines.embedding(queries, model), targets)
    return Report(
        data=str(data),
        services=tuple(service.name for service in queries.services),
        queries=len(targets),
        in_scope=int((targets != queries.out_of_scope).sum()),
        paths=dict(answers.paths),
        fallback_reason=answers.fallback_reason,
        quality=measure(answers.probabilities, targets),
        latency=latency(answers.milliseconds),
        cold_ms=cold_ms,
        none_answers=int((answers.probabilities.argmax(axis=1) == queries.out_of_scope).sum()),
        baselines=compared,
        bins=tuple(reliability(answers.probabilities, targets)),
        notes=(*notes, *hindrance),
    )


def _by_centroid(queries: LabelledQueries, model: Path) -> tuple[Quality | None, tuple[str, ...]]:
    """The baseline, or a note why there is none."""
    try:
        return measure(baselines.centroid(queries, model), np.array(queries.targets, dtype=np.int64)), ()
    except RouterError as error:
        return None, (f"no baseline centroid: {error}",)
