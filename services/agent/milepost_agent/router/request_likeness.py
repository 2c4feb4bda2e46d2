"""How much a line reads like a request, by its letters: so that one is found among logs, code, tables and mails."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.errors import HeadsUnusableError
from milepost_agent.router.ngrams import BUCKETS, count_ngrams, weigh

REQUESTS_FILE = Path(__file__).with_name("data") / "requests.npz"

Weights = NDArray[np.float32]


@dataclass(frozen=True)
class RequestLikeness:
    """A logistic regression over character n-grams. It only compares lines with lines, so it keeps no bias."""

    weights: Weights  # (BUCKETS,)
    trained_on: str  # fingerprint of the files of examples and pasted material

    def log_odds(self, line: str) -> float:
        """Log-odds of a request, up to a constant that is the same for all lines."""
        counts = count_ngrams(line)
        return float(weigh(counts, EVEN) @ self.weights[counts.buckets])

    def save(self, path: Path) -> None:
        """Write one npz without pickles, in half precision."""
        np.savez_compressed(
            path, allow_pickle=False, weights=self.weights.astype(np.float16), trained_on=np.array(self.trained_on)
        )

    @classmethod
    def load(cls, path: Path = REQUESTS_FILE) -> RequestLikeness:
        """Read what `save` wrote; raises HeadsUnusableError for anything else."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                weights, trained_on = stored["weights"].astype(np.float32), str(stored["trained_on"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise HeadsUnusableError(f"{path.name} cannot be read: {error}") from error
        if weights.shape != (BUCKETS,):
            raise HeadsUnusableError(f"{path.name} was made for another version of the router")
        return cls(weights, trained_on)


EVEN = np.ones(BUCKETS, dtype=np.float32)  # all n-grams count alike: rarity among requests says nothing of logs


@cache
def committed_likeness() -> RequestLikeness:
    """The committed numbers, read once a process; raises HeadsUnusableError."""
    return RequestLikeness.load()
