"""Recommends services for a text: by a larger model, by the embedding model and its heads, or by keyword rules."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.embedding import Embedder, Vector
from milepost_agent.router.errors import HeadsUnusableError, ModelUnusableError, RouterError
from milepost_agent.router.examples import Example, training_examples
from milepost_agent.router.heads import HEADS_FILE, Heads
from milepost_agent.router.keywords import overlap_odds, score_keywords
from milepost_agent.router.language_model_engine import LanguageModelEngine
from milepost_agent.router.language_model_settings import LanguageModelSettings
from milepost_agent.router.reasoning import (
    Asked,
    NearestExample,
    explain_embedding,
    explain_keywords,
    explain_language_model,
)
from milepost_agent.router.recommendation import Candidate, Recommendation, ScoredService
from milepost_agent.router.recommendation import Path as AnswerPath
from milepost_agent.router.request_likeness import committed_likeness
from milepost_agent.router.scoring import BEST, RELEVANT, Evidence, Scores, score
from milepost_agent.router.service_vectors import ServiceVectors, described_as
from milepost_agent.router.tags import LABELS

Answer = tuple[tuple[ScoredService, ...], float, str]
"""Services, best first; the probability that none fits; and why."""
Answering = Callable[[str, Sequence[Candidate], str | None], Answer]
_log = logging.getLogger(__name__)


class Router:
    """Informs, never decides, and always answers. Thread-safe; calls block for some milliseconds.

    The larger model answers where one is set, the embedding model where that fails, keyword rules where both do.
    """

    def __init__(
        self,
        engine: EmbeddingEngine | None,
        fallback_reason: str | None = None,
        language_model: LanguageModelEngine | None = None,
    ) -> None:
        self._engine = engine
        self._language_model = language_model
        self.fallback_reason = fallback_reason
        """Why there is no embedding model, as a recommendation says it."""

    @classmethod
    def load(
        cls, model: Path | None, heads: Path = HEADS_FILE, language_model: LanguageModelSettings | None = None
    ) -> Router:
        """A router on the GGUF embedding model at `model`; by keyword rules when there is none or it cannot be used.

        A `language_model` is loaded in the background; see `wait_for_language_model`.
        """
        engine, reason = _load_embedding(model, heads)
        return cls(engine, reason, None if language_model is None else LanguageModelEngine(language_model))

    def wait_for_language_model(self, seconds: float) -> str | None:
        """Blocks until it answers, or cannot; returns why it does not answer, or None."""
        return "is not configured" if self._language_model is None else self._language_model.wait(seconds)

    def close(self) -> None:
        """Ends the thread of the language model and frees it; the other paths go on."""
        if self._language_model is not None:
            self._language_model.close()

    def recommend(self, text: str, candidates: Sequence[Candidate], capability: str | None = None) -> Recommendation:
        """The best three of `candidates` (ready services) for `text`, of those with `capability` when it is given."""
        started = time.perf_counter()
        eligible = [each for each in candidates if capability is None or capability in each.capabilities]
        if not text.strip() or not eligible:
            nothing = "The text is empty." if not text.strip() else _nobody(capability)
            path = self._path()
            reason = self.fallback_reason if path == "keywords" else None
            return Recommendation((), 1.0, nothing, path, _since(started), reason)
        failed: list[str] = []
        for path, answer in self._models():
            try:
                services, none, why = answer(text, eligible, capability)
                return Recommendation(services, none, why, path, _since(started), "; ".join(failed) or None)
            except ModelUnusableError as error:
                failed.append(f"{path.replace('_', ' ')}: {error}")
            except Exception as error:  # it informs: what is wrong with it must not end a run
                _log.exception("The router's path %s failed", path)
                failed.append(f"{path.replace('_', ' ')}: failed inside ({type(error).__name__})")
        reason = "; ".join([*failed, *([self.fallback_reason] if self.fallback_reason else [])])
        services, none, why = _answer_by_keywords(text, eligible, capability, reason)
        return Recommendation(services, none, why, "keywords", _since(started), reason)

    def score_tags(self, text: str) -> dict[str, float]:
        """Probabilities of the known tags and of "none", whatever services there are."""
        if self._language_model is not None:
            with contextlib.suppress(ModelUnusableError):
                return self._language_model.read(text).tags
        if self._engine is not None:
            with contextlib.suppress(ModelUnusableError):
                return self._engine.score_tags(text)
        return _named(score_keywords(text).probabilities)

    def learn(self, candidates: Sequence[Candidate], budget_seconds: float = 60.0) -> None:
        """Embed what new services say of themselves ahead of the first recommendation; what fails is tried then."""
        if self._engine is not None:
            with contextlib.suppress(ModelUnusableError):
                self._engine.learn(candidates, budget_seconds)

    def _models(self) -> list[tuple[AnswerPath, Answering]]:
        """The models that are set, in the order in which they are asked."""
        models: list[tuple[AnswerPath, Answering]] = []
        if self._language_model is not None:
            models.append(("language_model", self._by_language_model))
        if self._engine is not None:
            models.append(("embedding", self._engine.answer))
        return models

    def _by_language_model(self, text: str, candidates: Sequence[Candidate], capability: str | None) -> Answer:
        """The tags by the language model, the services' own words by whatever reads those."""
        assert self._language_model is not None
        reading = self._language_model.read(text)
        evidence = _evidence_of_words(text, candidates)
        if self._engine is not None:
            with contextlib.suppress(ModelUnusableError):
                evidence = self._engine.evidence(text, candidates)
        scores = score(reading.tags, evidence, capability)
        services = _worth_naming(scores, capability)
        asked = Asked(capability, len(candidates))
        why = explain_language_model(self._language_model.name, reading.tags, services, asked, reading.truncated)
        return services, scores.none_probability, why

    def _path(self) -> AnswerPath:
        return next((path for path, _ in self._models()), "keywords")


def _load_embedding(model: Path | None, heads: Path) -> tuple[EmbeddingEngine | None, str | None]:
    """The engine, or why there is none."""
    if model is None:
        return None, "embedding: no router model is configured"
    try:
        committed_likeness()
        return EmbeddingEngine(Embedder(model), Heads.load(heads), training_examples()), None
    except (RouterError, OSError, ValueError) as error:
        return None, f"embedding: {error}"


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

    def evidence(self, text: str, candidates: Sequence[Candidate]) -> list[Evidence]:
        """How well each candidate's own words fit; raises ModelUnusableError."""
        self._services.learn(candidates)
        return self._evidence(self._embedder.embed(text).vector, candidates)

    def answer(self, text: str, candidates: Sequence[Candidate], capability: str | None) -> Answer:
        """As `Answer`; raises ModelUnusableError."""
        embedding = self._embedder.embed(text)
        cosines = self._heads.cosines(embedding.vector)
        tags = _named(self._heads.probabilities(embedding.vector, text, cosines))
        self._services.learn(candidates)
        evidence = self._evidence(embedding.vector, candidates)
        scores = score(tags, evidence, capability)
        services = _worth_naming(scores, capability)
        asked = Asked(capability, len(candidates))
        why = explain_embedding(self._nearest(cosines), tags, services, asked, embedding.truncated)
        return services, scores.none_probability, why

    def _evidence(self, vector: Vector, candidates: Sequence[Candidate]) -> list[Evidence]:
        compared = self._services.compare(vector, candidates)
        odds = self._heads.affinity.odds
        return [
            Evidence(candidate, odds(similar), speaks=similar.nearest is not None)
            for candidate, similar in zip(candidates, compared, strict=True)
        ]

    def _nearest(self, cosines: Vector) -> NearestExample:
        best = int(np.argmax(cosines))
        return NearestExample(self._examples[best].query, self._examples[best].label, float(cosines[best]))


def _evidence_of_words(text: str, candidates: Sequence[Candidate]) -> list[Evidence]:
    return [
        Evidence(each, overlap_odds(text, " ".join((described_as(each), *each.examples))), speaks=False)
        for each in candidates
    ]


def _answer_by_keywords(text: str, candidates: Sequence[Candidate], capability: str | None, reason: str) -> Answer:
    found = score_keywords(text)
    tags = _named(found.probabilities)
    scores = score(tags, _evidence_of_words(text, candidates), capability)
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
