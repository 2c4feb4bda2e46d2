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
from itertools import chain, zip_longest

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.affinity import Similarities
from milepost_agent.router.embedding import Embedder, Vector
from milepost_agent.router.recommendation import Candidate

CAPACITY = 16_384
"""Texts whose vectors are kept, 1.5 KiB each; divided evenly, so of many services only the first examples count."""
BUDGET_SECONDS = 0.030
SETS = 16
"""Sets of candidates that are kept put together: about as many as the steps of a workflow ask for capabilities."""

Rows = NDArray[np.intp]
_FIRST_ROWS = 256


@dataclass(frozen=True)
class _Card:
    """Where the words of one candidate are in the matrix: rows of what is embedded so far."""

    described: int
    """Of the description; row 0, which is zeros, while it is not embedded."""
    examples: tuple[int, ...]
    scale: float
    """What makes of the sum of the cosines with the examples the cosine with their mean."""


@dataclass(frozen=True)
class _Places:
    """The cards of N candidates as arrays. S of them have examples, E in all, side by side and in their order."""

    described: Rows
    """(N,)"""
    speaking: Rows
    """(S,) which of the N candidates have examples."""
    examples: Rows
    """(E,)"""
    starts: Rows
    """(S,) where in `examples` those of each begin."""
    scale: NDArray[np.float32]
    """(S,)"""


class ServiceVectors:
    """Texts and their vectors, the least recently used forgotten first. Thread-safe."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._matrix = np.zeros((_FIRST_ROWS, embedder.width), dtype=np.float32)
        self._rows: OrderedDict[str, int] = OrderedDict()
        self._cards: dict[tuple[Candidate, int], _Card] = {}
        """By candidate and how many of its examples count; only whole ones."""
        self._places: OrderedDict[tuple[Candidate, ...], _Places] = OrderedDict()
        """Only those of whole cards."""
        self._lock = threading.Lock()

    def learn(self, candidates: Sequence[Candidate], budget_seconds: float = BUDGET_SECONDS) -> bool:
        """Embed descriptions first, then examples, until the budget is used up; True when nothing is missing."""
        deadline = time.monotonic() + budget_seconds
        for text in self._missing(tuple(candidates)):
            if time.monotonic() >= deadline:
                return False
            if text not in self._rows:
                self._put(text, self._embedder.embed(text).vector)
        return True

    def compare(self, vector: Vector, candidates: Sequence[Candidate]) -> list[Similarities]:
        """Cosines of a text's vector, shape (width,), with what is known of each candidate by now, in their order."""
        with self._lock:
            places = self._places_of(tuple(candidates))
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
        share = _share(candidates)
        with self._lock:
            if candidates in self._places:
                return []
            unread = [each for each in candidates if _key(each, share) not in self._cards]
            missing = [text for text in _in_turn(unread, share) if text not in self._rows]
            if len(self._rows) + len(missing) > CAPACITY:
                for text in _in_turn(candidates, share):
                    self._row(text)
            return missing

    def _put(self, text: str, vector: Vector) -> None:
        with self._lock:
            if text in self._rows:  # another thread was faster
                return
            if len(self._rows) >= CAPACITY:
                _, row = self._rows.popitem(last=False)
                self._cards.clear()
                self._places.clear()
            else:
                row = len(self._rows) + 1
            if row == len(self._matrix):
                self._matrix = np.concatenate((self._matrix, np.zeros_like(self._matrix)))
            self._matrix[row] = vector
            self._rows[text] = row

    def _places_of(self, candidates: tuple[Candidate, ...]) -> _Places:
        places = self._places.get(candidates)
        if places is None:
            share = _share(candidates)
            places = _put_together([self._card(each, share) for each in candidates])
            if any(_key(each, share) not in self._cards for each in candidates):
                return places
            self._places[candidates] = places
        self._places.move_to_end(candidates)
        while len(self._places) > SETS:
            self._places.popitem(last=False)
        return places

    def _card(self, candidate: Candidate, share: int) -> _Card:
        key = _key(candidate, share)
        card = self._cards.get(key)
        if card is None:
            described = self._row(described_as(candidate))
            examples = tuple(row for text in candidate.examples[:share] if (row := self._row(text)))
            length = float(np.linalg.norm(self._matrix[list(examples)].sum(axis=0))) if examples else 0.0
            card = _Card(described, examples, 1 / (length or 1.0))
            if described and len(examples) == key[1]:
                self._remember(key, card)
        return card

    def _remember(self, key: tuple[Candidate, int], card: _Card) -> None:
        if len(self._cards) >= CAPACITY:
            self._cards.clear()
        self._cards[key] = card

    def _row(self, text: str) -> int:
        """Where the vector of a text is, which counts as a use; 0 where there is none."""
        if text not in self._rows:
            return 0
        self._rows.move_to_end(text)
        return self._rows[text]


def _put_together(cards: Sequence[_Card]) -> _Places:
    speaking = [index for index, card in enumerate(cards) if card.described and card.examples]
    counts = [len(cards[index].examples) for index in speaking]
    return _Places(
        described=np.array([card.described for card in cards], dtype=np.intp),
        speaking=np.array(speaking, dtype=np.intp),
        examples=np.array([row for index in speaking for row in cards[index].examples], dtype=np.intp),
        starts=np.cumsum([0, *counts[:-1]], dtype=np.intp),
        scale=np.array([cards[index].scale for index in speaking], dtype=np.float32),
    )


def _share(candidates: Sequence[Candidate]) -> int:
    """How many examples of each count."""
    return max(CAPACITY // max(len(candidates), 1) - 1, 0)


def _key(candidate: Candidate, share: int) -> tuple[Candidate, int]:
    return candidate, min(share, len(candidate.examples))


def _in_turn(candidates: Sequence[Candidate], share: int) -> list[str]:
    """Texts in the order in which they are embedded: all descriptions, then the first example of each, and so on."""
    turns = zip_longest(*(each.examples[:share] for each in candidates))
    texts = chain(map(described_as, candidates), (text for turn in turns for text in turn if text is not None))
    return list(dict.fromkeys(texts))


def described_as(candidate: Candidate) -> str:
    """What a service is known by: its description, or its tags read as words."""
    return candidate.description or ", ".join(tag.replace("-", " ") for tag in candidate.capabilities) or candidate.name
