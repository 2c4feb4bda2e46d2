"""`python -m milepost_agent.router.evaluation FILE.jsonl`: how right, how sure and how fast the router is.

A line of the file is `{"query": "...", "label": "coding|review|rag|tools|general|none"}`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.examples import Example, read_examples
from milepost_agent.router.model_file import default_model_file
from milepost_agent.router.recommendation import Candidate
from milepost_agent.router.router import Router
from milepost_agent.router.tags import LABELS, NONE, TAG_DESCRIPTIONS

BINS = 10
Judge = Callable[[str], Mapping[str, float]]


@dataclass(frozen=True)
class Report:
    """Shares are 0..1, times are milliseconds; `auroc` is nan without both kinds of queries.

    `top1` and `top2` count queries of every label, "none" included; `ece` is over the confidence of the first answer.
    """

    queries: int
    top1: float
    top2: float
    ece: float
    auroc: float
    p50_ms: float
    p95_ms: float


def evaluate(examples: Sequence[Example], judge: Judge) -> Report:
    """Put each query to `judge`, which gives the probability of each label."""
    rows, times = [], []
    for example in examples:
        started = time.perf_counter()
        answer = judge(example.query)
        times.append((time.perf_counter() - started) * 1000)
        rows.append([answer[label] for label in LABELS])
    chances = np.array(rows)
    targets = np.array([LABELS.index(example.label) for example in examples])
    ranked = np.argsort(-chances, axis=1)
    right = ranked[:, 0] == targets
    return Report(
        queries=len(examples),
        top1=float(right.mean()),
        top2=float((ranked[:, :2] == targets[:, None]).any(axis=1).mean()),
        ece=calibration_error(chances.max(axis=1), right),
        auroc=separation(chances[:, LABELS.index(NONE)], targets == LABELS.index(NONE)),
        p50_ms=float(np.percentile(times, 50)),
        p95_ms=float(np.percentile(times, 95)),
    )


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Expected calibration error: mean gap of confidence and accuracy over ten bins, weighted by their size."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        (bins == number).mean() * abs(confidence[bins == number].mean() - right[bins == number].mean())
        for number in range(BINS)
        if (bins == number).any()
    ]
    return float(sum(gaps))


def separation(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half."""
    if positive.all() or not positive.any():
        return float("nan")
    apart = scores[positive][:, None] - scores[~positive][None, :]
    return float((apart > 0).mean() + (apart == 0).mean() / 2)


def well_known_services() -> list[Candidate]:
    """One service for each known tag, described as the tag is."""
    return [Candidate(f"{tag}-service", (tag,), description) for tag, description in TAG_DESCRIPTIONS.items()]


def as_judge(router: Router) -> Judge:
    """The whole recommendation, over one service a tag, read back as probabilities of the labels."""
    services = well_known_services()
    router.learn(services)

    def judge(text: str) -> dict[str, float]:
        answer = router.recommend(text, services)
        found = {service.capability: service.confidence for service in answer.services}
        return {label: found.get(label, 0.0) for label in LABELS} | {NONE: answer.none_probability}

    return judge


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each path; exit 2 with one line for a file that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m milepost_agent.router.evaluation", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", type=Path, default=default_model_file(), help="MiniLM as GGUF")
    options = parser.parse_args(arguments)
    try:
        examples = read_examples(options.file)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"evaluation: {error}\n")
        return 2
    if not examples:
        sys.stderr.write(f"evaluation: {options.file} holds no examples; allowed: one or more lines\n")
        return 2
    router = Router.load(options.model)
    if router.fallback_reason:
        sys.stderr.write(f"evaluation: the embedding path is left out: {router.fallback_reason}\n")
    else:
        _print("embedding", evaluate(examples, as_judge(router)))
    _print("keywords", evaluate(examples, as_judge(Router.load(None))))
    return 0


def _print(path: str, report: Report) -> None:
    sys.stdout.write(
        f"{path:<10} queries {report.queries}  top-1 {report.top1:.3f}  top-2 {report.top2:.3f}  ECE {report.ece:.3f}  "
        f"out-of-scope AUROC {report.auroc:.3f}  p50 {report.p50_ms:.1f} ms  p95 {report.p95_ms:.1f} ms\n"
    )


if __name__ == "__main__":
    sys.exit(main())
