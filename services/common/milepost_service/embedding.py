"""Vectors of texts by llama.cpp: a context that pools the tokens of a text into one vector.

Knows functions of llama.cpp by the module that it is given, so that who imports this pays for nothing but numpy.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


class EmbeddingError(Exception):
    """llama.cpp could not do it; the text says what."""


class EmbeddingContext:
    """Belongs to one thread at a time: llama.cpp ends the process when two share a context.

    `model` is llama.cpp's handle and stays the caller's, who frees it after `close`. `pooling` is one of llama.cpp's
    constants; left out, the one that the model names.
    """

    def __init__(self, llama: Any, model: Any, *, tokens: int, threads: int, pooling: int | None = None) -> None:
        """A context for texts of at most `tokens`. Raises EmbeddingError when there is no memory for it."""
        params = llama.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = tokens
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = threads
        params.embeddings = True
        if pooling is not None:
            params.pooling_type = pooling
        self.handle = llama.llama_init_from_model(model, params)
        if not self.handle:
            raise EmbeddingError(f"no memory for a context of {tokens} tokens")
        self.width: int = llama.llama_model_n_embd(model)
        """Length of a vector."""
        self._llama = llama
        self._size = tokens
        self._memory = llama.llama_get_memory(self.handle)

    @property
    def pooling(self) -> int:
        """How tokens are pooled, one of llama.cpp's constants."""
        return int(self._llama.llama_pooling_type(self.handle))

    def vector(self, tokens: Sequence[int]) -> Vector:
        """The L2-normalised vector of a text, shape (width,). Raises EmbeddingError."""
        if len(tokens) > self._size:  # llama.cpp ends the process
            raise EmbeddingError(f"the text has {len(tokens)} tokens, more than the {self._size} that fit")
        owned = (self._llama.llama_token * len(tokens))(*tokens)  # the batch only points to it
        if self._memory:
            self._llama.llama_memory_clear(self._memory, True)
        status = self._llama.llama_decode(self.handle, self._llama.llama_batch_get_one(owned, len(tokens)))
        pointer = self._llama.llama_get_embeddings_seq(self.handle, 0) if status == 0 else None
        if not pointer:
            raise EmbeddingError(f"llama.cpp could not embed {len(tokens)} tokens (status {status})")
        vector = np.array(np.ctypeslib.as_array(pointer, (self.width,)), dtype=np.float32)
        length = float(np.linalg.norm(vector))
        if not np.isfinite(length) or length == 0.0:
            raise EmbeddingError("the model gave no usable vector")
        return vector / np.float32(length)

    def close(self) -> None:
        """Frees the context; harmless when called again."""
        if self.handle:
            self._llama.llama_free(self.handle)
            self.handle = None


def tokens_of(llama: Any, vocabulary: Any, text: str, *, begin: bool = True) -> list[int]:
    """Tokens of a text, whatever it says; `begin` adds the marks around a whole input. Raises EmbeddingError."""
    encoded = text.encode("utf-8", errors="replace").replace(b"\0", b" ")
    buffer = (llama.llama_token * (len(encoded) + 8))()
    count = llama.llama_tokenize(vocabulary, encoded, len(encoded), buffer, len(buffer), begin, False)
    if count < 0 or (begin and count == 0):
        raise EmbeddingError(f"llama.cpp could not tokenize {len(encoded)} bytes (status {count})")
    return list(buffer[:count])
