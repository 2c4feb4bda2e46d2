"""What the router is asked and what it answers; plain values that survive JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

Path = Literal["language_model", "embedding", "keywords"]
"""The ways to an answer, in the order in which they are tried; the first is there where a larger model is set."""


@dataclass(frozen=True)
class Candidate:
    """A ready service: its capability tags and, in its own words, what it is for."""

    name: str
    capabilities: tuple[str, ...]
    description: str = ""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoredService:
    """A service, the tag it was scored by, and the probability (0..1) that it fits."""

    service: str
    capability: str
    confidence: float


@dataclass(frozen=True)
class Recommendation:
    """At most three services, best first, and the probability (0..1) that none fits.

    `path` says which way the answer came about; `fallback_reason` names each path before it that failed, and why:
    "language model: late after 2.0 s". None when the first path that is set answered.
    """

    services: tuple[ScoredService, ...]
    none_probability: float
    reasoning: str
    path: Path
    duration_ms: float
    fallback_reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Values that `json.dumps` takes; `from_dict` gives the same recommendation back."""
        return {**asdict(self), "services": [asdict(service) for service in self.services]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recommendation:
        services = tuple(ScoredService(**service) for service in values["services"])
        return cls(**{**values, "services": services})


class Recommender(Protocol):
    """What is asked for recommendations. Its calls block; they may come from any thread."""

    def recommend(self, text: str, candidates: Sequence[Candidate], capability: str | None = None) -> Recommendation:
        """The best three of `candidates` (ready services) for `text`, of those with `capability` when it is given."""

    def score_tags(self, text: str) -> dict[str, float]:
        """Probabilities of the known tags and of "none", whatever services there are."""

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Reads what new services say of themselves ahead of the first recommendation."""
