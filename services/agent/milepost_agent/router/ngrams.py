"""Hashed character n-grams within words: what a text looks like, where the embedding says what it means.

The features are those of scikit-learn's `char_wb` analyser (each word padded with a blank), hashed
into buckets so that no vocabulary has to be stored; digits count as one letter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BITS = 13
BUCKETS = 1 << BITS
LENGTHS = (2, 3, 4, 5)

_BLANK = 32
_DIGIT = re.compile(r"\d")
_BASE = np.uint64(0x100000001B3)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class SparseCounts:
    """Buckets that occur, ascending, and how often; shapes (k,) and (k,)."""

    buckets: NDArray[np.int64]
    counts: NDArray[np.float32]


def count_ngrams(text: str) -> SparseCounts:
    """Count the hashed n-grams of all of `text`."""
    words = _DIGIT.sub("0", text.casefold()).split()
    padded = f" {' '.join(words)} ".encode("utf-32-le", errors="replace")
    codes = np.frombuffer(padded, dtype="<u4").astype(np.uint64)
    hashed = [_hashes(codes, length) for length in LENGTHS if len(codes) >= length]
    buckets, counts = np.unique(np.concatenate(hashed), return_counts=True)
    return SparseCounts(buckets.astype(np.int64), counts.astype(np.float32))


def _hashes(codes: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    size = len(codes) - length + 1
    value = np.full(size, length, dtype=np.uint64)
    crosses_words = np.zeros(size, dtype=bool)
    for offset in range(length):
        letters = codes[offset : offset + size]
        value = value * _BASE + letters  # wraps around at 64 bits, which is what a hash wants
        if 0 < offset < length - 1:
            crosses_words |= letters == _BLANK
    return (value[~crosses_words] * _SPREAD) >> np.uint64(64 - BITS)


def weigh(counts: SparseCounts, rarity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sublinear term frequency times `rarity` (inverse document frequency, shape (BUCKETS,)), of unit length."""
    values = (np.float32(1) + np.log(counts.counts)) * rarity[counts.buckets]
    length = np.linalg.norm(values)
    return values / np.float32(length) if length > 0 else values
