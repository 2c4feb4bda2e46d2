"""Fits the affinity weights on services simulated from the training data: a tag's description and a few examples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.embedding import Embedder, Vector
from milepost_agent.router.fitting import fit_logistic
from milepost_agent.router.tags import TAG_DESCRIPTIONS, TAGS

SIZES = (2, 4, 8, 16)
DRAWS = 3
SEED = 20240
STRENGTH = 100.0


def fit_affinity(vectors: NDArray[np.float32], targets: NDArray[np.int64], embedder: Embedder) -> dict[str, float]:
    """Fields of AffinityWeights, from sentence vectors (N, W) and their label numbers (N,)."""
    descriptions = [embedder.embed(text).vector for text in TAG_DESCRIPTIONS.values()]
    draws = np.random.default_rng(SEED)
    rows: list[NDArray[np.float64]] = []
    fits: list[NDArray[np.bool_]] = []
    for tag in range(len(TAGS)):
        members = np.flatnonzero(targets == tag)
        for size in SIZES * DRAWS:
            chosen = draws.choice(members, size, replace=False)
            others = np.setdiff1d(np.arange(len(targets)), chosen)
            rows.append(_compare(vectors[others], descriptions[tag], vectors[chosen]))
            fits.append(targets[others] == tag)
    features, wanted = np.concatenate(rows), np.concatenate(fits)
    weights, bias = fit_logistic(features, wanted, STRENGTH)
    alone, alone_bias = fit_logistic(features[:, :1], wanted, STRENGTH)
    return {
        "description": float(weights[0]),
        "centroid": float(weights[1]),
        "nearest": float(weights[2]),
        "bias": bias,
        "alone_description": float(alone[0]),
        "alone_bias": alone_bias,
    }


def _compare(queries: NDArray[np.float32], description: Vector, examples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosines of queries (Q, W) with the description, the examples' mean and the nearest example, shape (Q, 3)."""
    centroid = examples.mean(axis=0)
    columns = queries @ description, queries @ centroid / np.linalg.norm(centroid), (queries @ examples.T).max(axis=1)
    return np.stack(columns, axis=1).astype(np.float64)
