"""`python -m milepost_agent.router.train [--check]`: makes `data/heads.npz` from the committed examples.

Everything is deterministic, but the sentence vectors differ in their last digits from one CPU to another
(llama.cpp picks its kernels by what the CPU has), so `--check` compares what the heads say, not their bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.affinity import AffinityWeights
from milepost_agent.router.affinity_training import fit_affinity
from milepost_agent.router.embedding import Embedder
from milepost_agent.router.examples import DATA_DIR, Example, fingerprint, read_examples, training_examples
from milepost_agent.router.fitting import Floats, fit_softmax
from milepost_agent.router.heads import HEADS_FILE, Heads, log_softmax, mix, unit_rows
from milepost_agent.router.model_file import default_model_file
from milepost_agent.router.ngrams import BUCKETS, SparseCounts, count_ngrams, weigh
from milepost_agent.router.tags import LABELS

EMBEDDING_STRENGTH = 15.0
NGRAM_STRENGTH = 300.0
FOLDS = 6
MIXTURES = tuple(round(0.3 + 0.05 * step, 2) for step in range(13))
TEMPERATURES = tuple(round(0.4 + 0.05 * step, 2) for step in range(33))
CHECK_TOLERANCE = 0.05  # largest difference of a probability between committed and fresh heads on the tuning set


class TrainingSet:
    """Examples with the features of both heads; row i belongs to example i."""

    def __init__(self, examples: Sequence[Example], embedder: Embedder) -> None:
        self.examples = examples
        self.targets = np.array([LABELS.index(example.label) for example in examples], dtype=np.int64)
        self.vectors = np.stack([embedder.embed(example.query).vector for example in examples])
        self.counts = [count_ngrams(example.query) for example in examples]

    def letters(self, rarity: NDArray[np.float32]) -> Floats:
        """Dense n-gram features, shape (examples, BUCKETS)."""
        features = np.zeros((len(self.counts), BUCKETS))
        for row, counts in enumerate(self.counts):
            features[row, counts.buckets] = weigh(counts, rarity)
        return features


def train(embedder: Embedder) -> Heads:
    """Fit all of the router's numbers; a few seconds, most of them for sentence vectors."""
    known = TrainingSet(training_examples(), embedder)
    tuning = TrainingSet(read_examples(DATA_DIR / "tuning.jsonl"), embedder)
    everything = np.arange(len(known.examples))
    held_out = [_log_probabilities(known, rows, known, others) for rows, others in _folds(len(known.examples))]
    by_tuning = _log_probabilities(known, everything, tuning, np.arange(len(tuning.examples)))
    mixture, temperature = _fit_mixture([*held_out, by_tuning])
    rarity = _rarity(known.counts)
    embedding_weights, embedding_bias = fit_softmax(
        known.vectors.astype(np.float64), known.targets, len(LABELS), EMBEDDING_STRENGTH
    )
    ngram_weights, ngram_bias = fit_softmax(known.letters(rarity), known.targets, len(LABELS), NGRAM_STRENGTH)
    return Heads(
        labels=LABELS,
        embedding_weights=embedding_weights.astype(np.float32),
        embedding_bias=embedding_bias.astype(np.float32),
        ngram_weights=ngram_weights.astype(np.float32),
        ngram_bias=ngram_bias.astype(np.float32),
        ngram_rarity=rarity,
        mixture=mixture,
        temperature=temperature,
        affinity=AffinityWeights(**fit_affinity(known.vectors, known.targets, embedder)),
        example_vectors=unit_rows(known.vectors),
        trained_on=fingerprint(),
    )


def drift(committed: Heads, fresh: Heads, embedder: Embedder) -> float:
    """Largest difference of a probability between two heads on the tuning set."""
    worst = 0.0
    for example in read_examples(DATA_DIR / "tuning.jsonl"):
        vector = embedder.embed(example.query).vector
        apart = committed.probabilities(vector, example.query) - fresh.probabilities(vector, example.query)
        worst = max(worst, float(np.abs(apart).max()))
    return worst


def _rarity(counts: Sequence[SparseCounts]) -> NDArray[np.float32]:
    """Smoothed inverse document frequency of each bucket, shape (BUCKETS,)."""
    documents = np.zeros(BUCKETS)
    for each in counts:
        documents[each.buckets] += 1
    return np.asarray(np.log((1 + len(counts)) / (1 + documents)) + 1, dtype=np.float32)


Scored = tuple[Floats, Floats, NDArray[np.int64]]  # log-probabilities by meaning and by letters, true labels


def _log_probabilities(
    fitted: TrainingSet, rows: NDArray[np.int64], scored: TrainingSet, others: NDArray[np.int64]
) -> Scored:
    """Fit both heads on `rows` of one set and score `others` of another."""
    rarity = _rarity([fitted.counts[row] for row in rows])
    letters = fitted.letters(rarity)[rows], scored.letters(rarity)[others]
    meaning = fitted.vectors[rows].astype(np.float64), scored.vectors[others].astype(np.float64)
    results = []
    for (train_features, features), strength in ((meaning, EMBEDDING_STRENGTH), (letters, NGRAM_STRENGTH)):
        weights, bias = fit_softmax(train_features, fitted.targets[rows], len(LABELS), strength)
        results.append(log_softmax(features @ weights + bias))
    return results[0], results[1], scored.targets[others]


def _folds(size: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    numbers = np.arange(size)
    return [(numbers[numbers % FOLDS != fold], numbers[numbers % FOLDS == fold]) for fold in range(FOLDS)]


def _fit_mixture(scored: Sequence[Scored]) -> tuple[float, float]:
    """The mixture and temperature with the smallest cross-entropy on examples that the heads did not see."""
    by_meaning = np.concatenate([each[0] for each in scored])
    by_letters = np.concatenate([each[1] for each in scored])
    targets = np.concatenate([each[2] for each in scored])

    def loss(setting: tuple[float, float]) -> float:
        chances = mix(by_meaning, by_letters, *setting)
        return float(-np.log(chances[np.arange(len(targets)), targets] + 1e-12).mean())

    return min(((mixture, heat) for mixture in MIXTURES for heat in TEMPERATURES), key=loss)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the heads, or with `--check` exit 1 when the committed ones say something else."""
    parser = argparse.ArgumentParser(prog="python -m milepost_agent.router.train", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed heads, write nothing")
    parser.add_argument("--model", type=Path, default=default_model_file(), help="MiniLM as GGUF")
    parser.add_argument("--output", type=Path, default=HEADS_FILE)
    options = parser.parse_args(arguments)
    embedder = Embedder(options.model)
    fresh = train(embedder)
    if options.check:
        committed = Heads.load(options.output)
        apart = drift(committed, fresh, embedder)
        sys.stdout.write(f"{options.output.name}: largest difference {apart:.4f}, allowed {CHECK_TOLERANCE}\n")
        return int(apart > CHECK_TOLERANCE or committed.trained_on != fresh.trained_on)
    fresh.save(options.output)
    sys.stdout.write(
        f"{options.output}: {options.output.stat().st_size // 1024} KiB, "
        f"mixture {fresh.mixture}, temperature {fresh.temperature}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
