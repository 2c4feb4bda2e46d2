"""Every number of an evaluation, against cases that were worked out by hand."""

import numpy as np
import pytest

from milepost_agent.evaluation.answers import Answers, ask
from milepost_agent.evaluation.metrics import (
    calibration_error,
    latency,
    macro_f1,
    measure,
    out_of_scope_recall,
    reliability,
    separation,
)
from milepost_agent.evaluation.queries import LabelledQueries
from milepost_agent.router import Candidate, Recommendation, ScoredService
from milepost_agent.router.examples import Example

pytestmark = pytest.mark.requirement("RTR-4")

# Over the labels coding, rag, none.
FOUR = np.array([[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.15, 0.0, 0.85], [0.25, 0.7, 0.05]])
RIGHT = np.array([0, 0, 2, 2])


def test_numbers_of_four_answers() -> None:
    found = measure(FOUR, RIGHT)
    assert (found.top1, found.top2) == (0.5, 0.75)
    # coding: 1 hit of 1 answer and 2 queries, 2/3; none: 1 of 1 and 2, 2/3; rag is the label of no query
    assert found.macro_f1 == pytest.approx(2 / 3)
    # 0.9 and 0.85 are right, 0.6 and 0.7 wrong, each in a bin of its own
    assert found.ece == pytest.approx((0.1 + 0.6 + 0.15 + 0.7) / 4)
    squares = (0.01 + 0.01, 0.36 + 0.36, 0.0225 + 0.0225, 0.0625 + 0.49 + 0.9025)
    assert found.brier == pytest.approx(sum(squares) / 4)
    assert found.auroc == 1.0
    assert found.oos_recall_at_95 == 1.0
    assert found.wrong_above_0_8 == 0


def test_wrong_answers_count_above_the_bound_and_not_at_it() -> None:
    rows = np.array([[0.8, 0.2], [0.81, 0.19], [0.99, 0.01], [0.3, 0.7]])
    assert measure(rows, np.array([1, 1, 0, 0])).wrong_above_0_8 == 1


def test_the_earlier_of_equally_probable_labels_is_the_first_answer() -> None:
    found = measure(np.array([[0.5, 0.5]]), np.array([1]))
    assert (found.top1, found.top2) == (0.0, 1.0)


@pytest.mark.parametrize("target", [0, 1], ids=["all in scope", "all out of scope"])
def test_what_needs_both_kinds_of_queries_is_left_open(target: int) -> None:
    found = measure(np.array([[0.7, 0.3], [0.2, 0.8]]), np.array([target, target]))
    assert (found.auroc, found.oos_recall_at_95) == (None, None)


def test_calibration_error_of_the_sure_and_half_wrong() -> None:
    assert calibration_error(np.full(10, 0.95), np.arange(10) < 5) == pytest.approx(0.45)
    assert calibration_error(np.full(10, 0.5), np.arange(10) < 5) == pytest.approx(0.0)


def test_calibration_error_weighs_bins_by_their_size() -> None:
    confidence, right = np.array([0.95, 0.95, 0.95, 0.55]), np.array([True, True, True, False])
    assert calibration_error(confidence, right) == pytest.approx(0.75 * 0.05 + 0.25 * 0.55)


def test_full_confidence_belongs_to_the_last_bin() -> None:
    bins = reliability(np.array([[1.0, 0.0], [0.9, 0.1], [0.65, 0.35]]), np.array([0, 1, 0]))
    assert [each.count for each in bins] == [0, 0, 0, 0, 0, 0, 1, 0, 0, 2]
    assert (bins[9].low, bins[9].high, bins[9].confidence, bins[9].accuracy) == (0.9, 1.0, 0.95, 0.5)
    assert (bins[0].confidence, bins[0].accuracy) == (None, None)


def test_macro_f1_gives_rare_labels_the_same_weight() -> None:
    targets = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    assert macro_f1(np.zeros(10, dtype=np.int64), targets) == pytest.approx((18 / 19 + 0) / 2)


def test_separation_counts_ties_half() -> None:
    assert separation(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])) == 0.875
    assert separation(np.array([0.2, 0.2, 0.2]), np.array([True, False, False])) == 0.5


def test_recall_out_of_scope_keeps_19_of_20_in_scope() -> None:
    in_scope = np.arange(1, 21) / 100  # 0.01 to 0.20; the threshold is the 19th, 0.19
    scores = np.concatenate([in_scope, [0.19, 0.195, 0.5, 0.01]])
    unfit = np.arange(24) >= 20
    assert out_of_scope_recall(scores, unfit) == 0.5
    # of 19, all are kept: one less would be 94.7 %
    assert out_of_scope_recall(scores[1:], unfit[1:]) == 0.25


def test_percentiles_are_interpolated() -> None:
    found = latency(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == pytest.approx((3.0, 4.8, 4.96))


class Scripted:
    """A router that answers what it was told to."""

    def __init__(self, answers: dict[str, Recommendation]) -> None:
        self._answers = answers

    def recommend(self, text: str, candidates: object, capability: str | None = None) -> Recommendation:
        return self._answers[text]

    def score_tags(self, text: str) -> dict[str, float]:
        raise NotImplementedError

    def learn(self, candidates: object) -> None:
        raise NotImplementedError


def recommended(*services: tuple[str, str, float], none: float = 0.0, **more: str) -> Recommendation:
    scored = tuple(ScoredService(*service) for service in services)
    return Recommendation(scored, none, "", **{"path": "embedding", "duration_ms": 1.0, **more})  # type: ignore[arg-type]


def asked(services: tuple[Candidate, ...], label: str, answer: Recommendation) -> tuple[LabelledQueries, Answers]:
    queries = LabelledQueries.over(services, [Example("q", label)])
    return queries, ask(Scripted({"q": answer}), queries)


BOTH = Candidate("both", ("coding", "review"))
DOCS = Candidate("docs", ("rag",))


@pytest.mark.parametrize("label", ["coding", "review"])
def test_a_service_is_right_for_each_tag_that_it_carries(label: str) -> None:
    queries, answers = asked((BOTH, DOCS), label, recommended(("both", "coding", 0.7), ("docs", "rag", 0.2), none=0.1))
    assert measure(answers.probabilities, np.array(queries.targets)).top1 == 1.0


def test_a_wrong_service_counts_for_the_tag_it_was_scored_by() -> None:
    queries, answers = asked((BOTH, DOCS), "rag", recommended(("both", "review", 0.6), ("docs", "rag", 0.3), none=0.1))
    assert queries.labels == ("coding", "review", "rag", "none")
    assert answers.probabilities.tolist() == [[0.0, 0.6, 0.3, 0.1]]


def test_of_services_with_one_tag_the_best_counts() -> None:
    archive = Candidate("archive", ("rag",))
    _, answers = asked((DOCS, archive), "rag", recommended(("archive", "rag", 0.5), ("docs", "rag", 0.4), none=0.1))
    assert answers.probabilities.tolist() == [[0.5, 0.1]]


def test_a_label_that_no_service_carries_is_out_of_scope() -> None:
    queries, answers = asked((DOCS,), "coding", recommended(("docs", "rag", 0.2), none=0.8))
    assert (queries.targets, queries.unserved) == ((1,), 1)
    assert measure(answers.probabilities, np.array(queries.targets)).top1 == 1.0


def test_paths_are_counted_and_the_first_reason_is_kept() -> None:
    queries = LabelledQueries.over((DOCS,), [Example(text, "rag") for text in "abc"])
    late = recommended(none=1.0, path="keywords", fallback_reason="late")
    answers = ask(Scripted({"a": recommended(none=1.0), "b": late, "c": late}), queries)
    assert answers.paths == {"embedding": 1, "keywords": 2}
    assert answers.fallback_reason == "late"
    assert len(answers.milliseconds) == 3
