"""Recommends services for a text: by the embedding model and its heads, or by keyword rules when that fails."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.embedding import Embedder, Vector
from milepost_agent.router.errors import HeadsUnusableError, ModelUnusableError, RouterError
from milepost_agent.router.examples import Example, training_examples
from milepost_agent.router.heads import HEADS_FILE, Heads
from milepost_agent.router.keywords import overlap_odds, score_keywords
from milepost_agent.router.reasoning import Asked, NearestExample, explain_embedding, explain_keywords
from milepost_agent.router.recommendation import Candidate, Recommendation, ScoredService
from milepost_agent.router.recommendation import Path as AnswerPath
from milepost_agent.router.scoring import BEST, RELEVANT, Evidence, Scores, score
from milepost_agent.router.service_vectors import ServiceVectors, described_as
from milepost_agent.router.tags import LABELS


class Router:
    """Informs, never decides, and always answers. Thread-safe; calls block for some milliseconds."""

    def __init__(self, engine: EmbeddingEngine | None, fallback_reason: str | None = None) -> None:
        self._engine = engine
        self.fallback_reason = fallback_reason

    @classmethod
    def load(cls, model: Path | None, heads: Path = HEADS_FILE) -> Router:
        """A router on the GGUF embedding model at `model`; by keyword rules when there is none or it cannot be used."""
        if model is None:
            return cls(None, "no router model is configured")
        try:
            return cls(EmbeddingEngine(Embedder(model), Heads.load(heads), training_examples()))
        except (RouterError, OSError, ValueError) as error:
            return cls(None, str(error))

    def recommend(self, text: str, candidates: Sequence[Candidate], capability: str | None = None) -> Recommendation:
        """The best three of `candidates` (ready services) for `text`, of those with `capability` when it is given."""
        started = time.perf_counter()
        eligible = [each for each in candidates if capability is None or capability in each.capabilities]
        if not text.strip() or not eligible:
            nothing = "The text is empty." if not text.strip() else _nobody(capability)
            return Recommendation((), 1.0, nothing, self._path(), _since(started), self.fallback_reason)
        reason = self.fallback_reason or "no router model"
        if self._engine is not None:
            try:
                services, none, why = self._engine.answer(text, eligible, capability)
                return Recommendation(services, none, why, "embedding", _since(started))
            except ModelUnusableError as error:
                reason = str(error)
        services, none, why = _answer_by_keywords(text, eligible, capability, reason)
        return Recommendation(services, none, why, "keywords", _since(started), reason)

    def score_tags(self, text: str) -> dict[str, float]:
        """Probabilities of the known tags and of "none", whatever services there are."""
        if self._engine is not None:
            try:
                return self._engine.score_tags(text)
            except ModelUnusableError:
                pass
        return _named(score_keywords(text).probabilities)

    def learn(self, candidates: Sequence[Candidate], budget_seconds: float = 60.0) -> None:
        """Embed what new services say of themselves ahead of the first recommendation; optional."""
        if self._engine is not None:
            self._engine.learn(candidates, budget_seconds)

    def _path(self) -> AnswerPath:
        return "keywords" if self._engine is None else "embedding"


class EmbeddingEngine:
    """The embedding path: one vector of the text serves the heads, the nearest example and the services' own words."""

    def __init__(self, embedder: Embedder, heads: Heads, examples: Sequence[Example]) -> None:
        """Raises HeadsUnusableError when the parts were not made for one another."""
        if heads.width != embedder.width or heads.labels != LABELS or len(heads.example_vectors) != len(examples):
            raise HeadsUnusableError(
                f"the heads were trained for {heads.width} dimensions and {len(heads.example_vectors)} examples, "
                f"the model gives {embedder.width} and there are {len(examples)}"
            )
        self._embedder = embedder
        self._heads = heads
        self._examples = examples
        self._services = ServiceVectors(embedder)

    def score_tags(self, text: str) -> dict[str, float]:
        return _named(self._heads.probabilities(self._embedder.embed(text).vector, text))

    def learn(self, candidates: Sequence[Candidate], budget_seconds: float) -> None:
        self._services.learn(candidates, budget_seconds)

    def answer(
        self, text: str, candidates: Sequence[Candidate], capability: str | None
    ) -> tuple[tuple[ScoredService, ...], float, str]:
        """Services, the probability of none, and why; raises ModelUnusableError."""
        embedding = self._embedder.embed(text)
        tags = _named(self._heads.probabilities(embedding.vector, text))
        self._services.learn(candidates)
        evidence = self._evidence(embedding.vector, candidates)
        scores = score(tags, evidence, capability)
        services = _worth_naming(scores, capability)
        asked = Asked(capability, len(candidates))
        why = explain_embedding(self._nearest(embedding.vector), tags, services, asked, embedding.truncated)
        return services, scores.none_probability, why

    def _evidence(self, vector: Vector, candidates: Sequence[Candidate]) -> list[Evidence]:
        compared = self._services.compare(vector, candidates)
        odds = self._heads.affinity.odds
        return [
            Evidence(candidate, odds(similar), speaks=similar.nearest is not None)
            for candidate, similar in zip(candidates, compared, strict=True)
        ]

    def _nearest(self, vector: Vector) -> NearestExample:
        cosines = self._heads.example_vectors @ vector
        best = int(np.argmax(cosines))
        return NearestExample(self._examples[best].query, self._examples[best].label, float(cosines[best]))


def _answer_by_keywords(
    text: str, candidates: Sequence[Candidate], capability: str | None, reason: str
) -> tuple[tuple[ScoredService, ...], float, str]:
    found = score_keywords(text)
    tags = _named(found.probabilities)
    evidence = [
        Evidence(each, overlap_odds(text, " ".join((described_as(each), *each.examples))), speaks=False)
        for each in candidates
    ]
    scores = score(tags, evidence, capability)
    services = _worth_naming(scores, capability)
    asked = Asked(capability, len(candidates))
    return services, scores.none_probability, explain_keywords(found.matched, tags, services, asked, reason)


def _worth_naming(scores: Scores, capability: str | None) -> tuple[ScoredService, ...]:
    floor = RELEVANT if capability is None else 0.0
    return tuple(service for service in scores.services if service.confidence >= floor)[:BEST]


def _named(probabilities: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(LABELS, map(float, probabilities), strict=True))


def _nobody(capability: str | None) -> str:
    return f"No ready service carries {capability}." if capability else "No service is ready."


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
