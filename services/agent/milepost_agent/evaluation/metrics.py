"""The numbers of an evaluation, each defined here. Pure.

Everything is computed from N rows of probabilities over L labels, of which the last is "none", and from the N labels
that are right. The *first answer* of a row is its most probable label, the earlier one of equals; its probability is
the *confidence*. A query is *in scope* when its label is not "none".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
HIGH_CONFIDENCE = 0.8
KEPT_PERCENT = 95

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Quality:
    """How right and how sure. Shares are 0..1; None stands for what cannot be said of these queries.

    - `top1`: share of queries whose first answer is right; "none" counts like any label.
    - `top2`: share of queries whose label is among the two most probable ones.
    - `macro_f1`: mean of the F1 scores of the labels that occur among the queries, "none" included.
    - `ece`: expected calibration error, see `calibration_error`.
    - `brier`: mean over the queries of the sum over labels of (probability - (1 if right else 0)) squared, 0..2.
    - `auroc`: probability that a query out of scope has a higher p(none) than one in scope, ties counting half;
      None without both kinds.
    - `oos_recall_at_95`: see `out_of_scope_recall`; None without both kinds.
    - `wrong_above_0_8`: number of queries whose first answer is wrong with a confidence above 0.8.
    """

    top1: float
    top2: float
    macro_f1: float
    ece: float
    brier: float
    auroc: float | None
    oos_recall_at_95: float | None
    wrong_above_0_8: int


@dataclass(frozen=True)
class Latency:
    """Percentiles of the time of one recommendation in milliseconds, interpolated linearly."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Bin:
    """Queries whose confidence is in [low, high), the last bin with its end; means are None for an empty bin."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


def measure(probabilities: Floats, targets: Indices) -> Quality:
    """Of probabilities (N, L) and indices (N,) of the right labels, N at least 1."""
    none = probabilities.shape[1] - 1
    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    first, right = ranked[:, 0], ranked[:, 0] == targets
    confidence = probabilities.max(axis=1)
    wanted = np.eye(probabilities.shape[1])[targets]
    unfit = targets == none
    return Quality(
        top1=float(right.mean()),
        top2=float((ranked[:, :2] == targets[:, None]).any(axis=1).mean()),
        macro_f1=macro_f1(first, targets),
        ece=calibration_error(confidence, right),
        brier=float(np.square(probabilities - wanted).sum(axis=1).mean()),
        auroc=separation(probabilities[:, none], unfit),
        oos_recall_at_95=out_of_scope_recall(probabilities[:, none], unfit),
        wrong_above_0_8=int((~right & (confidence > HIGH_CONFIDENCE)).sum()),
    )


def latency(milliseconds: Floats) -> Latency:
    """Of times (N,), N at least 1."""
    return Latency(*(float(np.percentile(milliseconds, percent)) for percent in (50, 95, 99)))


def reliability(probabilities: Floats, targets: Indices) -> list[Bin]:
    """Confidence against accuracy in ten bins of equal width."""
    return _bins(probabilities.max(axis=1), probabilities.argmax(axis=1) == targets)


def calibration_error(confidence: Floats, right: Flags) -> float:
    """Mean gap between confidence and accuracy over ten bins of equal width, weighted by the size of each bin."""
    filled = [each for each in _bins(confidence, right) if each.count]
    gaps = [each.count * abs((each.confidence or 0.0) - (each.accuracy or 0.0)) for each in filled]
    return float(sum(gaps) / len(confidence))


def macro_f1(answers: Indices, targets: Indices) -> float:
    """Mean over the labels in `targets` of 2 * hits / (answers with the label + queries with the label)."""
    scores = [
        2 * ((answers == label) & (targets == label)).sum() / ((answers == label).sum() + (targets == label).sum())
        for label in np.unique(targets)
    ]
    return float(np.mean(scores))


def separation(scores: Floats, positive: Flags) -> float | None:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half."""
    if positive.all() or not positive.any():
        return None
    negatives = np.sort(scores[~positive])
    below = np.searchsorted(negatives, scores[positive], side="left")
    not_above = np.searchsorted(negatives, scores[positive], side="right")
    return float((below + not_above).mean() / 2 / len(negatives))


def out_of_scope_recall(scores: Floats, unfit: Flags) -> float | None:
    """Share of the queries out of scope that lie above the threshold of p(none) which keeps 95 % of those in scope.

    The threshold is the smallest p(none) of a query in scope that at least 95 % of those in scope do not exceed.
    """
    if unfit.all() or not unfit.any():
        return None
    kept = np.sort(scores[~unfit])
    rank = -(-KEPT_PERCENT * len(kept) // 100)  # rounded up, in whole numbers
    threshold = kept[rank - 1]
    return float((scores[unfit] > threshold).mean())


def _bins(confidence: Floats, right: Flags) -> list[Bin]:
    numbers = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = []
    for number in range(BINS):
        inside = numbers == number
        count = int(inside.sum())
        means = (float(confidence[inside].mean()), float(right[inside].mean())) if count else (None, None)
        bins.append(Bin(number / BINS, (number + 1) / BINS, count, *means))
    return bins
