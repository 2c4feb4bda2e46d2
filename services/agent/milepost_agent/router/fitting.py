"""Multinomial logistic regression in numpy: few examples, many features, one global minimum.

scikit-learn would do the same; forty lines spare every contributor a 100 MB dependency for one fit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.heads import log_softmax

Floats = NDArray[np.float64]

STEPS = 4000
TOLERANCE = 1e-7


def fit_softmax(features: Floats, targets: NDArray[np.int64], classes: int, strength: float) -> tuple[Floats, Floats]:
    """Weights (features, classes) and bias (classes,) that minimise cross-entropy + |weights|² / (2 strength).

    `features` has shape (examples, features), `targets` the class numbers. The solution lies in the span of
    the examples, so the descent (Nesterov's, with restarts) runs in that small space.
    """
    basis, coordinates = _span(features)
    rows, size = coordinates.shape
    design = np.hstack([coordinates, np.ones((rows, 1))])
    wanted = np.eye(classes)[targets]
    penalty = np.append(np.full(size, 1 / strength), 0.0)[:, None]
    step = 1 / (np.linalg.norm(design, 2) ** 2 / 2 + 1 / strength)
    current = ahead = np.zeros((size + 1, classes))
    momentum = 1.0
    for _ in range(STEPS):
        slope = design.T @ (np.exp(log_softmax(design @ ahead)) - wanted) + penalty * ahead
        if np.abs(slope).max() < TOLERANCE:
            break
        previous, current = current, ahead - step * slope
        if float(np.sum(slope * (current - previous))) > 0:
            momentum, ahead = 1.0, current
            continue
        previous_momentum, momentum = momentum, (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = current + (previous_momentum - 1) / momentum * (current - previous)
    return basis @ current[:-1], current[-1] - current[-1].mean()


def fit_logistic(features: Floats, targets: NDArray[np.bool_], strength: float) -> tuple[Floats, float]:
    """Weights (features,) and bias of a yes-or-no logistic regression, by Newton's method."""
    design = np.hstack([features, np.ones((len(features), 1))])
    penalty = np.diag(np.append(np.full(features.shape[1], 1 / strength), 1e-9))
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (chance - targets) + penalty @ weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + penalty
        change = np.linalg.solve(curvature, slope)
        weights -= change
        if np.abs(change).max() < TOLERANCE:
            break
    return weights[:-1], float(weights[-1])


def _span(features: Floats) -> tuple[Floats, Floats]:
    """Orthonormal basis (features, r) of the rows' span, and the rows' coordinates (rows, r) in it."""
    values, vectors = np.linalg.eigh(features @ features.T)
    kept = values > values[-1] * 1e-10
    roots = np.sqrt(values[kept])
    return features.T @ (vectors[:, kept] / roots), vectors[:, kept] * roots
