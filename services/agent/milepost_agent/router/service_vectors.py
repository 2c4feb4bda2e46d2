"""What services say of themselves as rows of one matrix: each text is embedded once, within a time budget a call.

A service that appears is scored at once by what is embedded so far; the rest follows on later calls, or ahead of them
in the background. One product with the vector of a request then compares it with all services.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.affinity import Similarities
from milepost_agent.router.embedding import Embedder, Vector
from milepost_agent.router.recommendation import Candidate

CAPACITY = 16_384
"""Texts whose vectors are kept, 1.5 KiB each. Of services that say more together, the first examples count."""
BUDGET_SECONDS = 0.030
SETS = 16
"""Sets of candidates whose rows are kept: about as many as there are capabilities in the steps of a workflow."""

Rows = NDArray[np.intp]
_FIRST_ROWS = 256


@dataclass(frozen=True)
class _Places:
    """Which rows belong to N candidates. S of them have examples, E in all, side by side and in their order."""

    version: int
    """Of the matrix that the rows are of."""
    complete: bool
    described: Rows
    """(N,) rows of the descriptions; row 0, which is zeros, where none is embedded yet."""
    speaking: Rows
    """(S,) which of the N candidates have examples."""
    examples: Rows
    """(E,) rows of the examples."""
    starts: Rows
    """(S,) where in `examples` those of each begin."""
    scale: NDArray[np.float32]
    """(S,) what makes of the sum of the cosines with the examples the cosine with their mean."""


class ServiceVectors:
    """Texts and their vectors, the least recently used forgotten first. Thread-safe."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._matrix = np.zeros((_FIRST_ROWS, embedder.width), dtype=np.float32)
        self._rows: OrderedDict[str, int] = OrderedDict()
        self._version = 0
        self._places: OrderedDict[tuple[Candidate, ...], _Places] = OrderedDict()
        self._lock = threading.Lock()

    def learn(self, candidates: Sequence[Candidate], budget_seconds: float = BUDGET_SECONDS) -> bool:
        """Embed descriptions first, then examples, until the budget is used up; True when nothing is missing."""
        deadline = time.monotonic() + budget_seconds
        for text in self._missing(tuple(candidates)):
            if time.monotonic() >= deadline:
                return False
            if text not in self._rows:  # another thread may have been faster
                self._put(text, self._embedder.embed(text).vector)
        return True

    def compare(self, vector: Vector, candidates: Sequence[Candidate]) -> list[Similarities]:
        """Cosines of a text's vector, shape (width,), with what is known of each candidate by now, in their order."""
        with self._lock:
            places = self._find(tuple(candidates))
            cosines = self._matrix[: len(self._rows) + 1] @ vector
        found = [Similarities(cosine) for cosine in cosines[places.described].tolist()]
        if len(places.speaking):
            of_examples = cosines[places.examples]
            centroids = np.add.reduceat(of_examples, places.starts) * places.scale
            nearest = np.maximum.reduceat(of_examples, places.starts)
            for each, centroid, best in zip(
                places.speaking.tolist(), centroids.tolist(), nearest.tolist(), strict=True
            ):
                found[each] = Similarities(found[each].description, centroid, best)
        return found

    def _missing(self, candidates: tuple[Candidate, ...]) -> list[str]:
        with self._lock:
            places = self._places.get(candidates)
            if places and places.complete and places.version == self._version:
                return []
            return [text for text in _wanted(candidates) if text not in self._rows]

    def _put(self, text: str, vector: Vector) -> None:
        with self._lock:
            if len(self._rows) >= CAPACITY:
                _, row = self._rows.popitem(last=False)
            else:
                row = len(self._rows) + 1
            if row == len(self._matrix):
                self._matrix = np.concatenate((self._matrix, np.zeros_like(self._matrix)))
            self._matrix[row] = vector
            self._rows[text] = row
            self._version += 1

    def _find(self, candidates: tuple[Candidate, ...]) -> _Places:
        places = self._places.get(candidates)
        if places is None or places.version != self._version:
            places = self._places[candidates] = self._look_up(candidates)
        self._places.move_to_end(candidates)
        while len(self._places) > SETS:
            self._places.popitem(last=False)
        return places

    def _look_up(self, candidates: tuple[Candidate, ...]) -> _Places:
        wanted = {text: self._row(text) for text in _wanted(candidates)}
        owned = [[row for text in each.examples if (row := wanted.get(text))] for each in candidates]
        described = [wanted.get(described_as(each), 0) for each in candidates]
        speaking = [index for index, rows in enumerate(owned) if rows and described[index]]
        counts = [len(owned[index]) for index in speaking]
        examples = np.array([row for index in speaking for row in owned[index]], dtype=np.intp)
        starts = np.cumsum([0, *counts[:-1]], dtype=np.intp)
        return _Places(
            version=self._version,
            complete=all(wanted.values()),
            described=np.array(described, dtype=np.intp),
            speaking=np.array(speaking, dtype=np.intp),
            examples=examples,
            starts=starts,
            scale=self._scale(examples, starts),
        )

    def _row(self, text: str) -> int:
        if text not in self._rows:
            return 0
        self._rows.move_to_end(text)
        return self._rows[text]

    def _scale(self, examples: Rows, starts: Rows) -> NDArray[np.float32]:
        if not len(examples):
            return np.zeros(0, dtype=np.float32)
        lengths = np.linalg.norm(np.add.reduceat(self._matrix[examples], starts, axis=0), axis=1)
        return np.asarray(1 / np.where(lengths == 0, 1, lengths), dtype=np.float32)


def _wanted(candidates: Sequence[Candidate]) -> list[str]:
    """The texts that count: all descriptions, then the first example of each, the second of each, and so on."""
    in_turn = chain.from_iterable(zip_longest(*(each.examples for each in candidates)))
    texts = chain(map(described_as, candidates), (text for text in in_turn if text is not None))
    return list(islice(dict.fromkeys(texts), CAPACITY))


def described_as(candidate: Candidate) -> str:
    """What a service is known by: its description, or its tags read as words."""
    return candidate.description or ", ".join(tag.replace("-", " ") for tag in candidate.capabilities) or candidate.name
