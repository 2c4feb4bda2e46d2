"""Logistic regression in numpy: a smooth, convex loss with one minimum.

scikit-learn would do the same; some lines spare every contributor a 100 MB dependency for one fit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.heads import log_softmax

Floats = NDArray[np.float64]
Loss = Callable[[Floats], tuple[float, Floats]]  # a point's value and slope

STEPS = 500
MEMORY = 12
TOLERANCE = 1e-6  # of the slope, and of the share of the loss that a step still gains
ENOUGH_DESCENT = 1e-4
SMALLEST_STEP = 1e-8


def fit_softmax(
    features: NDArray[np.floating], targets: NDArray[np.int64], classes: int, strength: float
) -> tuple[Floats, Floats]:
    """Weights (features, classes) and bias (classes,) that minimise cross-entropy + |weights|² / (2 strength).

    `features` has shape (examples, features), `targets` the class numbers.
    """
    wanted = np.eye(classes)[targets]

    def loss(point: Floats) -> tuple[float, Floats]:
        weights, bias = point[:-1], point[-1]
        log_chances = log_softmax(features @ weights.astype(features.dtype) + bias)
        value = float(np.sum(weights**2)) / (2 * strength) - float(np.sum(wanted * log_chances))
        surplus = np.exp(log_chances) - wanted
        slope = features.T @ surplus.astype(features.dtype) + weights / strength
        return value, np.vstack([slope, surplus.sum(axis=0)])

    found = minimise(loss, np.zeros((features.shape[1] + 1, classes)))
    return found[:-1], found[-1] - found[-1].mean()


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


def minimise(loss: Loss, start: Floats) -> Floats:
    """The minimum of a smooth function by L-BFGS (Nocedal 1980) with a halving line search."""
    point, (value, slope) = start, loss(start)
    history: deque[tuple[Floats, Floats]] = deque(maxlen=MEMORY)
    for _ in range(STEPS):
        if np.abs(slope).max() < TOLERANCE:
            break
        direction = _direction(slope, history)
        descent, size = float(np.vdot(slope, direction)), 1.0
        while size > SMALLEST_STEP:
            next_value, next_slope = loss(point + size * direction)
            if next_value <= value + ENOUGH_DESCENT * size * descent:
                break
            size /= 2
        else:
            break
        if np.vdot(size * direction, next_slope - slope) > 0:
            history.append((size * direction, next_slope - slope))
        gained = value - next_value
        point, value, slope = point + size * direction, next_value, next_slope
        if gained < TOLERANCE * abs(value):
            break
    return point


def _direction(slope: Floats, history: deque[tuple[Floats, Floats]]) -> Floats:
    """Downhill by the curvature that the last moves and their changes of slope tell (the two-loop recursion)."""
    if not history:
        return -slope / max(1.0, float(np.linalg.norm(slope)))
    wanted, shares = slope.copy(), []
    for move, change in reversed(history):
        share = np.vdot(move, wanted) / np.vdot(move, change)
        shares.append(share)
        wanted = wanted - share * change
    move, change = history[-1]
    wanted = wanted * (np.vdot(move, change) / np.vdot(change, change))
    for (move, change), share in zip(history, reversed(shares), strict=True):
        wanted = wanted + (share - np.vdot(change, wanted) / np.vdot(move, change)) * move
    return -wanted
