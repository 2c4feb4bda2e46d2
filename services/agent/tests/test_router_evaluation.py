"""The evaluation command measures what it says, and the router holds its floors on the committed test set."""

from pathlib import Path

import numpy as np
import pytest

from milepost_agent.router import LABELS, Router, default_model_file
from milepost_agent.router.embedding import Embedder
from milepost_agent.router.evaluation import as_judge, calibration_error, evaluate, main, separation
from milepost_agent.router.examples import DATA_DIR, Example, read_examples, training_examples


def test_figures_of_a_known_judge() -> None:
    examples = [Example("a", "coding"), Example("b", "coding"), Example("c", "none"), Example("d", "rag")]
    answers = {
        "a": {"coding": 0.9, "rag": 0.1},
        "b": {"rag": 0.6, "coding": 0.4},
        "c": {"none": 0.8, "rag": 0.2},
        "d": {"tools": 0.7, "coding": 0.3},
    }
    report = evaluate(examples, lambda text: dict.fromkeys(LABELS, 0.0) | answers[text])
    assert (report.queries, report.top1, report.top2, report.auroc) == (4, 0.5, 0.75, 1.0)
    assert report.ece == pytest.approx((0.1 + 0.6 + 0.2 + 0.7) / 4)


def test_calibration_error_of_sure_and_half_wrong() -> None:
    assert calibration_error(np.full(10, 0.95), np.arange(10) < 5) == pytest.approx(0.45)
    assert calibration_error(np.full(10, 0.5), np.arange(10) < 5) == pytest.approx(0.0)


def test_separation_counts_ties_half_and_needs_both_kinds() -> None:
    assert separation(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])) == 0.875
    assert np.isnan(separation(np.array([0.5]), np.array([True])))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"query": "x", "label": "music"}', "allowed: coding, review"),
        ("not json", "not an example"),
        ("", "no examples"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(line + "\n")
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert str(path) in error
    assert error.count("\n") == 1


def test_committed_sets_are_large_enough_and_disjoint() -> None:
    training, tuning, test = (
        training_examples(),
        read_examples(DATA_DIR / "tuning.jsonl"),
        read_examples(DATA_DIR / "test.jsonl"),
    )
    assert all(sum(example.label == label for example in training) >= 60 for label in LABELS)
    assert all(sum(example.label == label for example in test) >= 10 for label in LABELS)
    queries = [example.query.casefold() for example in (*training, *tuning, *test)]
    assert len(queries) == len(set(queries))


@pytest.mark.models
def test_the_test_set_is_not_in_the_training_set_in_other_words() -> None:
    embedder = Embedder(default_model_file())
    training = np.stack([embedder.embed(example.query).vector for example in training_examples()])
    for example in read_examples(DATA_DIR / "test.jsonl"):
        assert (training @ embedder.embed(example.query).vector).max() < 0.8, example.query


@pytest.mark.models
@pytest.mark.requirement("RTR-4")
def test_floors_on_the_committed_test_set() -> None:
    report = evaluate(read_examples(DATA_DIR / "test.jsonl"), as_judge(Router.load(default_model_file())))
    print(report)
    assert report.top1 >= 0.80
    assert report.top2 >= 0.92
    assert report.ece <= 0.15
    assert report.auroc >= 0.97
