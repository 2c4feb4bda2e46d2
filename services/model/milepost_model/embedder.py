"""Embeddings: a second context over the same weights whose tokens are pooled into one vector."""

import math

import llama_cpp
import numpy as np

from milepost_model.errors import EngineError
from milepost_model.weights import Weights
from milepost_service.errors import ConfigurationError

EMBEDDING_TOKENS = 512
"""Most tokens of a text that a text-making model embeds. llama.cpp computes the logits of all of them at once: with
8192 tokens and a vocabulary of 49152 that takes 3 GB."""


class Embedder:
    """One text at a time; pooling as the model says, else the mean over its tokens."""

    def __init__(self, weights: Weights, *, context_tokens: int, threads: int) -> None:
        size = min(context_tokens, weights.trained_context, *([] if weights.embeds_only else [EMBEDDING_TOKENS]))
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = size
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = threads
        params.embeddings = True
        if not weights.embeds_only:
            params.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_MEAN
        self.handle = llama_cpp.llama_init_from_model(weights.handle, params)
        if not self.handle:
            raise ConfigurationError(f"llamaCpp.contextTokens: {size} tokens do not fit into memory; allowed: fewer")
        self.size = size
        self.tokens = 0
        """Tokens that were embedded since the start."""
        self._weights = weights
        self._memory = llama_cpp.llama_get_memory(self.handle)
        self._batch = llama_cpp.llama_batch_init(size, 0, 1)

    def close(self) -> None:
        if self.handle:
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self.handle)
            self.handle = None

    def embed(self, text: str) -> list[float]:
        """The text's vector, L2-normalised; a text longer than the context is cut at its end."""
        tokens = self._weights.tokens_of(text, begin=True, control=False)[: self.size]
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = True
        if self._memory:
            llama_cpp.llama_memory_clear(self._memory, True)
        if status := llama_cpp.llama_decode(self.handle, batch):
            raise EngineError(f"llama.cpp could not embed {len(tokens)} tokens (status {status})")
        self.tokens += len(tokens)
        pointer = llama_cpp.llama_get_embeddings_seq(self.handle, 0)
        values = np.ctypeslib.as_array(pointer, shape=(self._weights.embedding_size,)).astype(np.float64)
        length = math.sqrt(float(values @ values)) or 1.0
        return [float(value) for value in values / length]
