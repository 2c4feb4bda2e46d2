"""Natural log-probabilities of tokens, before temperature and the like change them."""

from dataclasses import dataclass

import numpy as np

from milepost_model.context import Logits
from milepost_model.weights import Weights


@dataclass(frozen=True)
class Weighed:
    """A token as the bytes that it stands for, which need not be whole characters."""

    data: bytes
    log_probability: float


@dataclass(frozen=True)
class Drawn(Weighed):
    """A token of an answer, and the likeliest in its place, the likeliest first."""

    likeliest: tuple[Weighed, ...]


def log_probability(logits: Logits, token: int) -> float:
    """Of one token."""
    return float(logits[token]) - _normaliser(logits)


def weigh(logits: Logits, token: int, alternatives: int, weights: Weights) -> Drawn:
    """The token that was drawn beside so many of the likeliest, which it may be one of."""
    total = _normaliser(logits)
    order = np.argpartition(logits, -alternatives)[-alternatives:] if alternatives else np.empty(0, dtype=int)
    likeliest = sorted(order, key=lambda each: -float(logits[each]))

    def of(each: int) -> Weighed:
        return Weighed(weights.bytes_of(int(each)), float(logits[each]) - total)

    drawn = of(token)
    return Drawn(drawn.data, drawn.log_probability, tuple(map(of, likeliest)))


def _normaliser(logits: Logits) -> float:
    highest = logits.max()
    return float(highest + np.log(np.exp(logits - highest).sum()))
