"""Vectors of what services say of themselves, embedded once each, within a time budget a call.

A service that appears is scored at once by what is embedded so far; the rest follows on later calls.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

from milepost_agent.router.affinity import Similarities, similarities
from milepost_agent.router.embedding import Embedder, Vector
from milepost_agent.router.recommendation import Candidate

CAPACITY = 8192
BUDGET_SECONDS = 0.030


class ServiceVectors:
    """Texts and their vectors, the least recently used forgotten first. Thread-safe."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: OrderedDict[str, Vector] = OrderedDict()
        self._lock = threading.Lock()

    def learn(self, candidates: Sequence[Candidate], budget_seconds: float = BUDGET_SECONDS) -> bool:
        """Embed descriptions first, then examples, until the budget is used up; True when nothing is missing."""
        deadline = time.monotonic() + budget_seconds
        wanted = [described_as(candidate) for candidate in candidates]
        wanted += [example for candidate in candidates for example in candidate.examples]
        for text in wanted:
            if self._get(text) is not None:
                continue
            if time.monotonic() >= deadline:
                return False
            self._put(text, self._embedder.embed(text).vector)
        return True

    def compare(self, vector: Vector, candidate: Candidate) -> Similarities:
        """Cosines of a text's vector with what is known of the candidate by now."""
        description = self._get(described_as(candidate))
        examples = tuple(known for example in candidate.examples if (known := self._get(example)) is not None)
        if description is None:
            return Similarities(0.0)
        return similarities(vector, description, examples)

    def _get(self, text: str) -> Vector | None:
        with self._lock:
            if text in self._vectors:
                self._vectors.move_to_end(text)
            return self._vectors.get(text)

    def _put(self, text: str, vector: Vector) -> None:
        with self._lock:
            self._vectors[text] = vector
            while len(self._vectors) > CAPACITY:
                self._vectors.popitem(last=False)


def described_as(candidate: Candidate) -> str:
    """What a service is known by: its description, or its tags read as words."""
    return candidate.description or ", ".join(tag.replace("-", " ") for tag in candidate.capabilities) or candidate.name
