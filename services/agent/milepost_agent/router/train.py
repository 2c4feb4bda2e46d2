"""`python -m milepost_agent.router.train [--check]`: makes `data/*.npz` from the committed examples.

Everything is deterministic, but the sentence vectors differ in their last digits from one CPU to another
(llama.cpp picks its kernels by what the CPU has), so `--check` compares what the heads say, not their bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.affinity import AffinityWeights
from milepost_agent.router.affinity_training import fit_affinity
from milepost_agent.router.augmentation import augment
from milepost_agent.router.embedding import Embedder
from milepost_agent.router.examples import (
    DATA_DIR,
    Example,
    fingerprint,
    read_examples,
    training_voices,
)
from milepost_agent.router.excerpt import excerpt
from milepost_agent.router.fitting import Floats, fit_softmax
from milepost_agent.router.heads import HEADS_FILE, Heads, Mixture, log_softmax, mix, unit_rows
from milepost_agent.router.model_file import default_model_file
from milepost_agent.router.neighbours import nearness
from milepost_agent.router.ngrams import BUCKETS, SparseCounts, count_ngrams, weigh
from milepost_agent.router.request_likeness import REQUESTS_FILE, committed_likeness
from milepost_agent.router.request_training import fit_request_likeness
from milepost_agent.router.tags import LABELS

EMBEDDING_STRENGTH = 8.0
NGRAM_STRENGTH = 100.0
FOLDS = 4
MEANINGS = tuple(round(0.3 + 0.05 * step, 2) for step in range(13))
NEARNESSES = tuple(map(float, range(17)))
TEMPERATURES = tuple(round(0.4 + 0.05 * step, 2) for step in range(33))
CHECK_TOLERANCE = 0.05  # of a weight of requests.npz to the largest, and of a probability on the tuning set

Rows = NDArray[np.int64]


class TrainingSet:
    """Examples with the features of both heads; row i belongs to example i."""

    def __init__(self, examples: Sequence[Example], embedder: Embedder, committed: Rows | None = None) -> None:
        """`committed` are the rows that may be neighbours: those that are not changed copies of others."""
        self.targets = np.array([LABELS.index(example.label) for example in examples], dtype=np.int64)
        self.vectors = np.stack([embedder.embed(example.query).vector for example in examples])
        self.counts = [count_ngrams(excerpt(example.query)) for example in examples]
        self.committed = np.arange(0) if committed is None else committed

    def letters(self, rows: Rows, rarity: NDArray[np.float32]) -> NDArray[np.float32]:
        """Dense n-gram features, shape (rows, BUCKETS)."""
        features = np.zeros((len(rows), BUCKETS), dtype=np.float32)
        for place, row in enumerate(rows):
            features[place, self.counts[row].buckets] = weigh(self.counts[row], rarity)
        return features


def train(embedder: Embedder) -> Heads:
    """Fit all of the router's numbers; a minute, most of it for the folds."""
    voices = {voice: [*examples, *augment(examples)] for voice, examples in training_voices().items()}
    committed = _committed_rows(voices)
    known = TrainingSet([example for examples in voices.values() for example in examples], embedder, committed)
    tuning = TrainingSet(read_examples(DATA_DIR / "tuning.jsonl"), embedder)
    everything = np.arange(len(known.targets))
    held_out = [_score(_fit(known, rows), known, others) for rows, others in _folds(voices)]
    fitted = _fit(known, everything)
    return Heads(
        labels=LABELS,
        embedding_weights=fitted.embedding_weights,
        embedding_bias=fitted.embedding_bias,
        ngram_weights=fitted.ngram_weights,
        ngram_bias=fitted.ngram_bias,
        ngram_rarity=fitted.rarity,
        mixture=_fit_mixture([*held_out, _score(fitted, tuning, np.arange(len(tuning.targets)))]),
        affinity=AffinityWeights(**fit_affinity(known.vectors[committed], known.targets[committed], embedder)),
        example_vectors=fitted.example_vectors,
        example_targets=fitted.example_targets,
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


@dataclass(frozen=True)
class FittedHeads:
    """Both heads and the neighbours before they are mixed; shapes as in `Heads`."""

    embedding_weights: NDArray[np.float32]
    embedding_bias: NDArray[np.float32]
    ngram_weights: NDArray[np.float32]
    ngram_bias: NDArray[np.float32]
    rarity: NDArray[np.float32]
    example_vectors: NDArray[np.float32]
    example_targets: NDArray[np.int8]


Scored = tuple[Floats, Floats, Floats, Rows]  # log-probabilities by meaning and by letters, nearness, true labels


def _fit(known: TrainingSet, rows: Rows) -> FittedHeads:
    rarity = _rarity([known.counts[row] for row in rows])
    targets, classes = known.targets[rows], len(LABELS)
    by_meaning = fit_softmax(known.vectors[rows].astype(np.float64), targets, classes, EMBEDDING_STRENGTH)
    by_letters = fit_softmax(known.letters(rows, rarity), targets, classes, NGRAM_STRENGTH)
    neighbours = np.intersect1d(rows, known.committed)
    return FittedHeads(
        embedding_weights=by_meaning[0].astype(np.float32),
        embedding_bias=by_meaning[1].astype(np.float32),
        ngram_weights=by_letters[0].astype(np.float32),
        ngram_bias=by_letters[1].astype(np.float32),
        rarity=rarity,
        example_vectors=unit_rows(known.vectors[neighbours]),
        example_targets=known.targets[neighbours].astype(np.int8),
    )


def _score(fitted: FittedHeads, judged: TrainingSet, rows: Rows) -> Scored:
    by_meaning = log_softmax(judged.vectors[rows] @ fitted.embedding_weights + fitted.embedding_bias)
    by_letters = log_softmax(judged.letters(rows, fitted.rarity) @ fitted.ngram_weights + fitted.ngram_bias)
    near = nearness(judged.vectors[rows] @ fitted.example_vectors.T, fitted.example_targets, len(LABELS))
    return by_meaning, by_letters, near, judged.targets[rows]


def _committed_rows(voices: Mapping[str, Sequence[Example]]) -> Rows:
    """The rows that are committed as they are, which each voice has before its changed copies."""
    unchanged = [np.arange(len(examples)) < len(training_voices()[voice]) for voice, examples in voices.items()]
    return np.flatnonzero(np.concatenate(unchanged))


def _folds(voices: Mapping[str, Sequence[Example]]) -> Iterator[tuple[Rows, Rows]]:
    """Rows to fit and rows to score; no voice is in both, for users speak in a voice that no example has."""
    fold = np.repeat(np.arange(len(voices)) % FOLDS, [len(examples) for examples in voices.values()])
    for number in range(FOLDS):
        yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def _fit_mixture(scored: Sequence[Scored]) -> Mixture:
    """The mixture with the smallest cross-entropy on examples that the heads did not see."""
    by_meaning, by_letters, near, targets = (np.concatenate(part) for part in zip(*scored, strict=True))

    def loss(mixture: Mixture) -> float:
        chances = mix(by_meaning, by_letters, near, mixture)
        return float(-np.log(chances[np.arange(len(targets)), targets] + 1e-12).mean())

    return min((Mixture(*setting) for setting in product(MEANINGS, NEARNESSES, TEMPERATURES)), key=loss)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the heads, or with `--check` exit 1 when the committed ones say something else."""
    parser = argparse.ArgumentParser(prog="python -m milepost_agent.router.train", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed heads, write nothing")
    parser.add_argument("--model", type=Path, default=default_model_file(), help="MiniLM as GGUF")
    parser.add_argument("--output", type=Path, default=HEADS_FILE)
    options = parser.parse_args(arguments)
    embedder = Embedder(options.model)
    if options.check:
        return _check(options.output, embedder)
    fit_request_likeness().save(REQUESTS_FILE)  # first, for it says what is read of a long example
    committed_likeness.cache_clear()
    fresh = train(embedder)
    fresh.save(options.output)
    sys.stdout.write(f"{options.output}: {options.output.stat().st_size // 1024} KiB, {fresh.mixture}\n")
    return 0


def _check(heads_file: Path, embedder: Embedder) -> int:
    """1 when the committed numbers say something else than fresh ones."""
    likeness, fresh_likeness = committed_likeness(), fit_request_likeness()
    largest = np.abs(fresh_likeness.weights).max()
    heads, fresh = Heads.load(heads_file), train(embedder)
    apart = {
        REQUESTS_FILE.name: float(np.abs(likeness.weights - fresh_likeness.weights).max() / largest),
        heads_file.name: drift(heads, fresh, embedder),
    }
    for name, difference in apart.items():
        sys.stdout.write(f"{name}: largest difference {difference:.4f}, allowed {CHECK_TOLERANCE}\n")
    current = likeness.trained_on == heads.trained_on == fresh.trained_on
    return int(max(apart.values()) > CHECK_TOLERANCE or not current)


if __name__ == "__main__":
    sys.exit(main())
