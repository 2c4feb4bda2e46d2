"""How well a text fits what a service says of itself, for tags that no head has learned.

The relevance is a logistic function of three cosines: to the description, to the mean of the
examples, and to the nearest example. Its weights were fitted on services simulated from the training data.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

MAX_ODDS = 50.0


@dataclass(frozen=True)
class Similarities:
    """Cosines (-1..1) of a text with a service's description, its examples' mean, and the nearest of them.

    `centroid` and `nearest` are None for a service without examples.
    """

    description: float
    centroid: float | None = None
    nearest: float | None = None


@dataclass(frozen=True)
class AffinityWeights:
    """Logistic weights with examples, and by the description alone."""

    description: float
    centroid: float
    nearest: float
    bias: float
    alone_description: float
    alone_bias: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)

    def odds(self, similarities: Similarities) -> float:
        """Odds (0..MAX_ODDS) that the service fits the text."""
        if similarities.centroid is None or similarities.nearest is None:
            logit = self.alone_description * similarities.description + self.alone_bias
        else:
            logit = (
                self.description * similarities.description
                + self.centroid * similarities.centroid
                + self.nearest * similarities.nearest
                + self.bias
            )
        return float(min(np.exp(min(logit, 10.0)), MAX_ODDS))
