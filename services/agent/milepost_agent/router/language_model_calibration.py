"""From the scores of letters to probabilities of tags: a small linear layer, fitted once for a model and its prompt.

A model prefers some letters whatever it reads, and is far too sure. What it says of the committed tuning set, whose
labels are known, takes both away. The layer has 42 numbers; it is kept in a folder, if there is one, by what it was
fitted for: the file, the prompt and the tuning set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.examples import Example
from milepost_agent.router.fitting import fit_softmax
from milepost_agent.router.heads import log_softmax
from milepost_agent.router.language_model_prompt import Prompt
from milepost_agent.router.tags import LABELS

EXAMPLES_A_LABEL = 16
STRENGTH = 10.0
_READ_BYTES = 1024 * 1024

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Weights (letters, labels) and bias (labels,) over log-probabilities of letters."""

    weights: Floats
    bias: Floats

    @classmethod
    def fit(cls, scores: Floats, targets: Sequence[int]) -> Calibration:
        """From log-probabilities (examples, letters) and the numbers of the true labels."""
        return cls(*fit_softmax(scores, np.array(targets), len(LABELS), STRENGTH))

    def probabilities(self, letters: Floats) -> Floats:
        """Probabilities of LABELS, shape (6,), from log-probabilities of the letters, shape (6,)."""
        return np.exp(log_softmax(letters @ self.weights + self.bias))

    def save(self, path: Path) -> None:
        """Write whole or not at all; raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps({"weights": self.weights.tolist(), "bias": self.bias.tolist()}) + "\n")
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Calibration | None:
        """What `save` wrote; None for anything else, and for no file."""
        try:
            stored = json.loads(path.read_text())
            weights, bias = np.array(stored["weights"], dtype=np.float64), np.array(stored["bias"], dtype=np.float64)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        fits = weights.shape == (len(LABELS), len(LABELS)) and bias.shape == (len(LABELS),)
        return cls(weights, bias) if fits and np.isfinite(weights).all() and np.isfinite(bias).all() else None


def chosen_for_tuning(examples: Iterable[Example]) -> list[Example]:
    """The first examples of each label, so many that a model of 3B on one thread has read them in some minutes."""
    chosen: list[Example] = []
    taken = dict.fromkeys(LABELS, 0)
    for example in examples:
        if taken[example.label] < EXAMPLES_A_LABEL:
            taken[example.label] += 1
            chosen.append(example)
    return chosen


def calibration_file(folder: Path, model: Path, prompt: Prompt, examples: Sequence[Example]) -> Path:
    """Named after the size and both ends of the model's file, the prompt, and the tuning set; raises OSError."""
    digest = hashlib.sha256(repr((prompt, examples, STRENGTH)).encode())
    with model.open("rb") as file:
        size = file.seek(0, 2)
        for start in (0, max(0, size - _READ_BYTES)):
            file.seek(start)
            digest.update(file.read(_READ_BYTES))
    digest.update(str(size).encode())
    return folder / f"router-{model.stem}-{digest.hexdigest()[:16]}.json"
