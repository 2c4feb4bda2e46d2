"""From a text and its vector to calibrated probabilities of the known tags and of "none".

Two logistic heads, one over the sentence vector and one over character n-grams, are mixed as a weighted geometric
mean with what the nearest training examples say, and sharpened or flattened by one temperature. All numbers come
from `data/heads.npz`.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.affinity import AffinityWeights
from milepost_agent.router.embedding import Vector
from milepost_agent.router.errors import HeadsUnusableError
from milepost_agent.router.excerpt import excerpt
from milepost_agent.router.neighbours import nearness
from milepost_agent.router.ngrams import BUCKETS, count_ngrams, weigh

HEADS_FILE = Path(__file__).with_name("data") / "heads.npz"
FORMAT_VERSION = 2

Matrix = NDArray[np.float32]


class Mixture(NamedTuple):
    """How the two heads and the nearest examples become one distribution."""

    meaning: float  # weight of the embedding head, 0..1; the n-gram head has the rest
    neighbours: float  # log-probability for each unit of nearness
    temperature: float


@dataclass(frozen=True)
class Heads:
    """T labels (tags, then "none"), W the width of the model, N training examples."""

    labels: tuple[str, ...]
    embedding_weights: Matrix  # (W, T)
    embedding_bias: Vector  # (T,)
    ngram_weights: Matrix  # (BUCKETS, T)
    ngram_bias: Vector  # (T,)
    ngram_rarity: Vector  # (BUCKETS,)
    mixture: Mixture
    affinity: AffinityWeights
    example_vectors: Matrix  # (N, W), unit rows, in the order of the example files
    example_targets: NDArray[np.int8]  # (N,), places in `labels`
    trained_on: str  # fingerprint of the example files

    @property
    def width(self) -> int:
        return int(self.embedding_weights.shape[0])

    def cosines(self, vector: Vector) -> Vector:
        """Of a unit vector, shape (width,), with the training examples, shape (examples,)."""
        return self.example_vectors @ vector

    def probabilities(self, vector: Vector, text: str, cosines: Vector | None = None) -> NDArray[np.float64]:
        """Probabilities of `labels`, shape (T,), summing to one; `cosines` where they are known already."""
        counts = count_ngrams(excerpt(text))
        features = weigh(counts, self.ngram_rarity)
        by_meaning = log_softmax(vector @ self.embedding_weights + self.embedding_bias)
        by_letters = log_softmax(features @ self.ngram_weights[counts.buckets] + self.ngram_bias)
        known = self.cosines(vector) if cosines is None else cosines
        near = nearness(known, self.example_targets, len(self.labels))
        return mix(by_meaning, by_letters, near, self.mixture)

    def save(self, path: Path) -> None:
        """Write one npz without pickles: half precision for weights, bytes for the example vectors."""
        scalars = {
            "format": FORMAT_VERSION,
            "labels": self.labels,
            "mixture": self.mixture._asdict(),
            "affinity": self.affinity.to_dict(),
            "trained_on": self.trained_on,
        }
        np.savez_compressed(
            path,
            allow_pickle=False,
            scalars=np.array(json.dumps(scalars)),
            embedding_weights=self.embedding_weights.astype(np.float16),
            embedding_bias=self.embedding_bias.astype(np.float32),
            ngram_weights=self.ngram_weights.astype(np.float16),
            ngram_bias=self.ngram_bias.astype(np.float32),
            ngram_rarity=self.ngram_rarity.astype(np.float16),
            example_vectors=np.rint(self.example_vectors * EXAMPLE_SCALE).clip(-127, 127).astype(np.int8),
            example_targets=self.example_targets,
        )

    @classmethod
    def load(cls, path: Path = HEADS_FILE) -> Heads:
        """Read what `save` wrote; raises HeadsUnusableError for anything else."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                scalars = json.loads(str(stored["scalars"]))
                if scalars["format"] != FORMAT_VERSION or len(stored["ngram_weights"]) != BUCKETS:
                    raise HeadsUnusableError(f"{path.name} was made for another version of the router")
                arrays = {name: stored[name].astype(np.float32) for name in MATRICES}
                targets = stored["example_targets"]
            arrays["example_vectors"] = unit_rows(arrays["example_vectors"])
            return cls(
                labels=tuple(scalars["labels"]),
                mixture=Mixture(**scalars["mixture"]),
                example_targets=targets,
                affinity=AffinityWeights(**scalars["affinity"]),
                trained_on=scalars["trained_on"],
                **arrays,
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise HeadsUnusableError(f"{path.name} cannot be read: {error}") from error


MATRICES = (
    "embedding_weights",
    "embedding_bias",
    "ngram_weights",
    "ngram_bias",
    "ngram_rarity",
    "example_vectors",
)
EXAMPLE_SCALE = 48.0  # a few levels a component: the cosine stays right to 0.01, and the file compresses to half


def unit_rows(rows: Matrix) -> Matrix:
    """Rows scaled to length one, zero rows left alone."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(lengths == 0, 1, lengths), dtype=np.float32)


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logarithms of the softmax over the last axis."""
    shifted = np.asarray(logits, dtype=np.float64) - np.max(logits, axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def mix(
    by_meaning: NDArray[np.float64], by_letters: NDArray[np.float64], near: NDArray[np.float64], mixture: Mixture
) -> NDArray[np.float64]:
    """Weighted geometric mean of two distributions (given as logarithms) and of nearness, over the last axis."""
    heads = mixture.meaning * by_meaning + (1 - mixture.meaning) * by_letters
    return np.exp(log_softmax((heads + mixture.neighbours * near) / mixture.temperature))
