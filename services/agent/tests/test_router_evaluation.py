"""The committed sets are what they say, and the router holds its floors on the test set."""

import numpy as np
import pytest

from milepost_agent.evaluation.answers import ask
from milepost_agent.evaluation.metrics import measure
from milepost_agent.evaluation.queries import one_service_a_tag, read_queries
from milepost_agent.router import LABELS, Router, default_model_file
from milepost_agent.router.embedding import Embedder
from milepost_agent.router.examples import DATA_DIR, read_examples, training_examples
from milepost_agent.router.heads import Heads


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
    embedder, training = Embedder(default_model_file()), Heads.load()
    for example in read_examples(DATA_DIR / "test.jsonl"):
        assert training.cosines(embedder.embed(example.query).vector).max() < 0.8, example.query


@pytest.mark.models
@pytest.mark.requirement("RTR-4")
def test_floors_on_the_committed_test_set() -> None:
    queries = read_queries(DATA_DIR / "test.jsonl", one_service_a_tag())
    router = Router.load(default_model_file())
    router.learn(queries.services)
    report = measure(ask(router, queries).probabilities, np.array(queries.targets))
    print(report)
    assert report.top1 >= 0.88
    assert report.top2 >= 0.97
    assert report.ece <= 0.06
    assert report.auroc is not None
    assert report.auroc >= 0.97
