"""Sentence vectors from a GGUF embedding model, by llama.cpp in this process, on one thread.

One thread on purpose: with two, a busy neighbour on the other core multiplies the slowest calls.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.errors import ModelUnusableError
from milepost_agent.router.excerpt import excerpt
from milepost_agent.router.llama import load_llama

Vector = NDArray[np.float32]

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
        self._context = self._llama.llama_init_from_model(self._model, self._context_params())
        if not self._context:
            self._llama.llama_model_free(self._model)
            raise ModelUnusableError(f"llama.cpp cannot make a context for {path}")
        weakref.finalize(self, _release, self._llama, self._context, self._model)
        if self._llama.llama_pooling_type(self._context) != self._llama.LLAMA_POOLING_TYPE_MEAN:
            raise ModelUnusableError(f"{path} is not a model for sentence embeddings (no mean pooling)")
        self._vocabulary = self._llama.llama_model_get_vocab(self._model)
        self.width: int = self._llama.llama_model_n_embd(self._model)
        self.embed("ready")

    def embed(self, text: str) -> Embedding:
        """Embed one text, any length; raises ModelUnusableError when llama.cpp fails."""
        tokens, truncated = self._tokens(text)
        owned = (self._llama.llama_token * len(tokens))(*tokens)  # the batch only points to it
        batch = self._llama.llama_batch_get_one(owned, len(tokens))
        with self._lock:
            status = self._llama.llama_encode(self._context, batch)
            pointer = self._llama.llama_get_embeddings_seq(self._context, 0) if status == 0 else None
            if not pointer:
                raise ModelUnusableError(f"llama.cpp could not embed {len(tokens)} tokens (status {status})")
            vector = np.array(np.ctypeslib.as_array(pointer, (self.width,)), dtype=np.float32)
        length = float(np.linalg.norm(vector))
        if not np.isfinite(length) or length == 0.0:
            raise ModelUnusableError("the model gave no usable vector")
        return Embedding(vector / np.float32(length), truncated)

    def _tokens(self, text: str) -> tuple[list[int], bool]:
        cut = excerpt(text)
        encoded = cut.encode("utf-8", errors="replace").replace(b"\0", b" ")
        buffer = (self._llama.llama_token * (len(encoded) + 8))()
        count = self._llama.llama_tokenize(self._vocabulary, encoded, len(encoded), buffer, len(buffer), True, False)
        if count <= 0:
            raise ModelUnusableError(f"llama.cpp could not tokenize {len(encoded)} bytes (status {count})")
        tokens = list(buffer[:count])
        if count > MAX_TOKENS:
            tokens = tokens[:KEPT_FROM_START] + tokens[KEPT_FROM_START - MAX_TOKENS :]
        return tokens, count > MAX_TOKENS or len(cut) < len(text)

    def _model_params(self) -> Any:
        params = self._llama.llama_model_default_params()
        params.n_gpu_layers = 0
        return params

    def _context_params(self) -> Any:
        params = self._llama.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = MAX_TOKENS
        params.n_threads = params.n_threads_batch = 1
        params.embeddings = True
        return params


def _release(llama: Any, context: Any, model: Any) -> None:
    llama.llama_free(context)
    llama.llama_model_free(model)
