"""What the router has to beat: answers that cost less to make, judged on the same queries by the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from milepost_agent.evaluation.answers import ask
from milepost_agent.evaluation.metrics import Floats
from milepost_agent.evaluation.queries import LabelledQueries
from milepost_agent.router import LABELS, Router
from milepost_agent.router.embedding import Embedder, Vector
from milepost_agent.router.errors import ModelUnusableError
from milepost_agent.router.examples import training_examples
from milepost_agent.router.heads import Heads, log_softmax, unit_rows
from milepost_agent.router.service_vectors import described_as

SHARPNESS = 25.0
"""Logits a unit of cosine: of those tried, the one with the smallest cross-entropy on the tuning set."""


def majority(queries: LabelledQueries) -> Floats:
    """Always the share of each label among these very queries: the best that can be said without reading any."""
    shares = np.bincount(queries.targets, minlength=len(queries.labels)) / len(queries.targets)
    return np.tile(shares, (len(queries.targets), 1))


def keyword(queries: LabelledQueries) -> Floats:
    """The router's own rules by tell-tale words, which answer where no model can be used."""
    return ask(Router.load(None), queries).probabilities


def embedding(queries: LabelledQueries, model: Path) -> Floats:
    """The router without a larger model."""
    router = Router.load(model)
    router.learn(queries.services)
    return ask(router, queries).probabilities


def centroid(queries: LabelledQueries, model: Path) -> Floats:
    """Softmax over cosines with the mean vector of each label's training examples, without any fitted weights.

    A tag that the router has not learned has the mean of its services' descriptions and examples instead; learned
    tags that no service carries count as "none".

    Raises:
        RouterError: the embedding model or the vectors of the training examples cannot be used.
    """
    embedder, heads = Embedder(model), Heads.load()
    if heads.width != embedder.width:
        raise ModelUnusableError(f"{model} gives {embedder.width} dimensions; the examples have {heads.width}")
    names = (*LABELS, *(label for label in queries.labels if label not in LABELS))
    learned = np.array([example.label for example in training_examples()])
    means = [
        heads.example_vectors[learned == name].mean(axis=0) if name in LABELS else _mean_words(name, queries, embedder)
        for name in names
    ]
    centroids = unit_rows(np.stack(means))
    vectors = np.stack([embedder.embed(each.query).vector for each in queries.examples])
    chances = np.exp(log_softmax(SHARPNESS * (vectors @ centroids.T)))
    merged = np.zeros((len(vectors), len(queries.labels)))
    for column, name in enumerate(names):
        merged[:, queries.labels.index(name) if name in queries.labels else queries.out_of_scope] += chances[:, column]
    return merged


def _mean_words(tag: str, queries: LabelledQueries, embedder: Embedder) -> Vector:
    """The mean vector of what the services with this tag say of themselves."""
    carriers = [service for service in queries.services if tag in service.capabilities]
    words = [text for service in carriers for text in (described_as(service), *service.examples)]
    return np.asarray(np.mean([embedder.embed(text).vector for text in words], axis=0), dtype=np.float32)
