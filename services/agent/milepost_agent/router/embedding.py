"""Sentence vectors from a GGUF embedding model, by llama.cpp in this process, on one thread.

One thread on purpose: with two, a busy neighbour on the other core multiplies the slowest calls.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from milepost_agent.router.errors import ModelUnusableError
from milepost_agent.router.excerpt import excerpt
from milepost_agent.router.llama import load_llama
from milepost_service.embedding import EmbeddingContext, EmbeddingError, Vector, tokens_of

__all__ = ["KEPT_FROM_START", "MAX_TOKENS", "Embedder", "Embedding", "Vector"]

MAX_TOKENS = 128
KEPT_FROM_START = 64  # the rest of MAX_TOKENS comes from the end


@dataclass(frozen=True)
class Embedding:
    """A unit vector, shape (width,), and whether the middle of the text was left out."""

    vector: Vector
    truncated: bool


class Embedder:
    """One llama.cpp context behind a lock: llama.cpp aborts the process when two threads share a context."""

    def __init__(self, path: Path) -> None:
        """Load the model; raises ModelUnusableError when it is missing, broken, or gives no sentence vectors."""
        if not path.is_file():
            raise ModelUnusableError(f"model file {path} is missing")
        self._llama = load_llama()
        self._lock = threading.Lock()
        self._model = self._llama.llama_model_load_from_file(str(path).encode(), self._model_params())
        if not self._model:
            raise ModelUnusableError(f"llama.cpp cannot load {path}")
        try:
            self._context = EmbeddingContext(self._llama, self._model, tokens=MAX_TOKENS, threads=1)
        except EmbeddingError as error:
            self._llama.llama_model_free(self._model)
            raise ModelUnusableError(f"{path}: {error}") from None
        weakref.finalize(self, _release, self._llama, self._context, self._model)
        if self._context.pooling != self._llama.LLAMA_POOLING_TYPE_MEAN:
            raise ModelUnusableError(f"{path} is not a model for sentence embeddings (no mean pooling)")
        self._vocabulary = self._llama.llama_model_get_vocab(self._model)
        self.width = self._context.width
        self.embed("ready")

    def embed(self, text: str) -> Embedding:
        """Embed one text, any length; raises ModelUnusableError when llama.cpp fails."""
        cut = excerpt(text)
        try:
            tokens = tokens_of(self._llama, self._vocabulary, cut)
            is_long = len(tokens) > MAX_TOKENS
            if is_long:
                tokens = tokens[:KEPT_FROM_START] + tokens[KEPT_FROM_START - MAX_TOKENS :]
            with self._lock:
                vector = self._context.vector(tokens)
        except EmbeddingError as error:
            raise ModelUnusableError(str(error)) from None
        return Embedding(vector, is_long or len(cut) < len(text))

    def _model_params(self) -> Any:
        params = self._llama.llama_model_default_params()
        params.n_gpu_layers = 0
        return params


def _release(llama: Any, context: EmbeddingContext, model: Any) -> None:
    context.close()
    llama.llama_model_free(model)
