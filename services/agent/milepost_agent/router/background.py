"""A router that is loaded while the agent serves already: whoever asks it before that waits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from milepost_agent.router.language_model_settings import LanguageModelSettings
from milepost_agent.router.recommendation import Candidate, Recommendation

if TYPE_CHECKING:
    from milepost_agent.router.router import Router

_log = logging.getLogger(__name__)


class BackgroundRouter:
    """Loads its router once, in the thread that asks first: numpy, the library of the model and its weights.

    A larger model is loaded by a thread of its own meanwhile, for which nobody waits.
    """

    def __init__(self, model: Path | None, language_model: LanguageModelSettings | None = None) -> None:
        self._model = model
        self._language_model = language_model
        self._router: Router | None = None
        self._lock = threading.Lock()

    def load(self) -> Router:
        """The router; blocks until it is loaded."""
        with self._lock:
            if self._router is None:
                from milepost_agent.router.router import Router  # noqa: PLC0415 - what this class is for

                self._router = Router.load(self._model, language_model=self._language_model)
                if self._router.fallback_reason:
                    _log.warning("The router has no embedding model: %s", self._router.fallback_reason)
            return self._router

    def recommend(self, text: str, candidates: Sequence[Candidate], capability: str | None = None) -> Recommendation:
        """As `Router.recommend`."""
        return self.load().recommend(text, candidates, capability)

    def score_tags(self, text: str) -> dict[str, float]:
        """As `Router.score_tags`."""
        return self.load().score_tags(text)

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """As `Router.learn`."""
        self.load().learn(candidates)

    def close(self) -> None:
        """Ends what is being loaded or read by a larger model."""
        with self._lock:
            if self._router is not None:
                self._router.close()
