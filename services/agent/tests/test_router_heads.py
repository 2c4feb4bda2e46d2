"""The numbers behind the router: features, heads, their file, and how tags become services."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from milepost_agent.router.affinity import AffinityWeights, Similarities
from milepost_agent.router.errors import HeadsUnusableError
from milepost_agent.router.examples import fingerprint, training_examples
from milepost_agent.router.fitting import fit_logistic, fit_softmax
from milepost_agent.router.heads import HEADS_FILE, Heads, Mixture, mix
from milepost_agent.router.neighbours import NEIGHBOURS, nearness
from milepost_agent.router.ngrams import BUCKETS, count_ngrams, weigh
from milepost_agent.router.recommendation import Candidate
from milepost_agent.router.scoring import Evidence, score
from milepost_agent.router.tags import LABELS

FLAT = {"coding": 0.1, "review": 0.1, "rag": 0.1, "tools": 0.1, "general": 0.1, "none": 0.5}
SURE = {"coding": 0.95, "review": 0.01, "rag": 0.01, "tools": 0.01, "general": 0.01, "none": 0.01}


def evidence(name: str, tag: str, odds: float = 1.0, speaks: bool = False) -> Evidence:
    return Evidence(Candidate(name, (tag,)), odds, speaks)


def test_committed_heads_come_from_the_committed_examples() -> None:
    heads = Heads.load()
    assert heads.trained_on == fingerprint(), "run: python -m milepost_agent.router.train"
    assert len(heads.example_vectors) == len(training_examples())
    assert [LABELS[target] for target in heads.example_targets] == [each.label for each in training_examples()]
    assert heads.labels == LABELS
    assert HEADS_FILE.stat().st_size < 620_000


def test_heads_survive_their_file(tmp_path: Path) -> None:
    heads = Heads.load()
    heads.save(tmp_path / "again.npz")
    again = Heads.load(tmp_path / "again.npz")
    vector = heads.example_vectors[3]
    apart = heads.probabilities(vector, "Refactor this") - again.probabilities(vector, "Refactor this")
    assert np.abs(apart).max() < 1e-3
    assert again.affinity == heads.affinity


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", scalars=np.array({"format": 1}, dtype=object))
    with pytest.raises(HeadsUnusableError, match="allow_pickle"):
        Heads.load(tmp_path / "evil.npz")


def test_heads_of_another_version_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "old.npz", scalars=np.array(json.dumps({"format": 0})), ngram_weights=np.zeros((BUCKETS, 6)))
    with pytest.raises(HeadsUnusableError, match="another version"):
        Heads.load(tmp_path / "old.npz")


def test_probabilities_sum_to_one_and_follow_the_letters_too() -> None:
    heads = Heads.load()
    vector = heads.example_vectors[0]
    chances = heads.probabilities(vector, "Refactor the function")
    assert chances.sum() == pytest.approx(1)
    assert chances[LABELS.index("coding")] > heads.probabilities(vector, "order a pizza")[LABELS.index("coding")]


def test_ngrams_ignore_case_digits_and_blanks_and_stay_within_words() -> None:
    assert np.array_equal(count_ngrams("Add 12").buckets, count_ngrams("  add\n 99 ").buckets)
    apart = set(count_ngrams("ab").buckets) | set(count_ngrams("cd").buckets)
    assert set(count_ngrams("ab cd").buckets) == apart
    assert set(count_ngrams("abcd").buckets) - apart
    assert len(count_ngrams("").buckets) == 0 or count_ngrams("").counts.sum() <= 1


def test_ngram_features_have_unit_length() -> None:
    values = weigh(count_ngrams("hello hello world"), np.ones(BUCKETS, dtype=np.float32))
    assert np.linalg.norm(values) == pytest.approx(1)


def test_mixing_is_a_geometric_mean_and_heat_flattens() -> None:
    left, right, near = np.log([0.8, 0.2]), np.log([0.2, 0.8]), np.array([0.5, 0.5])
    assert mix(left, right, near, Mixture(0.5, 3.0, 1.0)) == pytest.approx([0.5, 0.5])
    assert mix(left, right, near, Mixture(1.0, 3.0, 1.0)) == pytest.approx([0.8, 0.2])
    assert 0.5 < mix(left, right, near, Mixture(1.0, 3.0, 3.0))[0] < 0.8


def test_neighbours_lift_their_label() -> None:
    undecided, near = np.log([0.5, 0.5]), np.array([0.7, 0.5])
    assert mix(undecided, undecided, near, Mixture(0.5, 0.0, 1.0)) == pytest.approx([0.5, 0.5])
    odds = np.exp(5.0 * 0.2)
    assert mix(undecided, undecided, near, Mixture(0.5, 5.0, 1.0))[0] == pytest.approx(odds / (1 + odds))


def test_nearness_is_the_mean_of_the_nearest_of_each_label() -> None:
    near, far = np.linspace(0.5, 0.9, NEIGHBOURS), np.full(20, -0.3)
    targets = np.repeat([1, 0, 1], [NEIGHBOURS, 20, 20])
    found = nearness(np.concatenate([near, far, far]), targets, 2)
    assert found == pytest.approx([-0.3, 0.7])
    assert nearness(np.stack([np.concatenate([near, far, far])] * 3), targets, 2).shape == (3, 2)


def test_the_softmax_fit_reaches_its_minimum() -> None:
    draws = np.random.default_rng(7)
    features, targets = draws.normal(size=(40, 60)), draws.integers(0, 3, size=40)
    weights, bias = fit_softmax(features, targets, 3, strength=2.0)
    logits = features @ weights + bias
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    slope = features.T @ (chances - np.eye(3)[targets]) + weights / 2.0
    assert np.abs(slope).max() < 1e-2


def test_the_logistic_fit_recovers_a_rule() -> None:
    draws = np.random.default_rng(7)
    features = draws.normal(size=(4000, 2))
    chance = 1 / (1 + np.exp(-(2 * features[:, 0] - features[:, 1] - 0.5)))
    weights, bias = fit_logistic(features, draws.random(4000) < chance, strength=100.0)
    assert (*weights, bias) == pytest.approx((2, -1, -0.5), abs=0.25)


def test_affinity_grows_with_similarity_and_is_bounded() -> None:
    weights = AffinityWeights(1, 10, 1, -4, 8, -3)
    assert weights.odds(Similarities(0.5)) > weights.odds(Similarities(0.1))
    assert weights.odds(Similarities(0.5, 0.6, 0.7)) > weights.odds(Similarities(0.5, 0.2, 0.3))
    assert weights.odds(Similarities(1, 1, 1)) <= 50


def test_a_service_gets_the_probability_of_its_best_tag() -> None:
    both = Evidence(Candidate("both", ("review", "coding")), 1.0, speaks=False)
    scores = score(SURE, [both, evidence("docs", "rag")])
    assert (scores.services[0].service, scores.services[0].capability) == ("both", "coding")
    assert scores.services[0].confidence == pytest.approx(0.95)


def test_tags_without_a_service_count_as_none() -> None:
    assert score(SURE, [evidence("docs", "rag")]).none_probability == pytest.approx(0.99)
    assert score(SURE, [evidence("coder", "coding")]).none_probability == pytest.approx(0.05)


def test_with_a_capability_confidence_is_what_none_leaves() -> None:
    scores = score(FLAT, [evidence("coder", "coding")], "coding")
    assert scores.services[0].confidence == pytest.approx(0.5)
    assert scores.none_probability == pytest.approx(0.5)


def test_an_unknown_tag_wins_what_is_open_and_little_of_what_is_sure() -> None:
    others = [evidence("coder", "coding")]
    painter = evidence("painter", "painting", odds=5.0)
    assert score(FLAT, [*others, painter]).services[0].service == "painter"
    sure = score(SURE, [*others, painter])
    assert sure.services[0].service == "coder"
    assert sure.services[0].confidence > 0.7


def test_examples_of_its_own_lift_a_service() -> None:
    quiet, loud = evidence("docs", "rag", 9.0), evidence("docs", "rag", 9.0, speaks=True)
    assert score(FLAT, [loud]).services[0].confidence > score(FLAT, [quiet]).services[0].confidence + 0.3


def test_equal_services_are_ordered_by_name() -> None:
    scores = score(SURE, [evidence("b", "coding"), evidence("a", "coding")])
    assert [service.service for service in scores.services] == ["a", "b"]
    assert replace(scores.services[0], service="b") == scores.services[1]
