"""The nearest training examples of each label, as a third opinion beside the two heads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 6


def nearness(cosines: NDArray[np.floating], targets: NDArray[np.integer], classes: int) -> NDArray[np.float64]:
    """Mean cosine of the NEIGHBOURS nearest examples of each class, shape (..., classes).

    `cosines` with all examples has shape (..., examples), `targets` their class numbers; each class needs
    NEIGHBOURS examples.
    """
    of_class = (cosines[..., targets == number] for number in range(classes))
    nearest = [np.partition(each, -NEIGHBOURS, axis=-1)[..., -NEIGHBOURS:] for each in of_class]
    return np.stack([each.mean(axis=-1, dtype=np.float64) for each in nearest], axis=-1)
