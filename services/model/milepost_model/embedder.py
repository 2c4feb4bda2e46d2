"""Embeddings: a second context over the same weights whose tokens are pooled into one vector."""

import llama_cpp

from milepost_model.errors import EngineError
from milepost_model.weights import Weights
from milepost_service.embedding import EmbeddingContext, EmbeddingError
from milepost_service.errors import ConfigurationError

EMBEDDING_TOKENS = 512
"""Most tokens of a text that a text-making model embeds. llama.cpp computes the logits of all of them at once: with
8192 tokens and a vocabulary of 49152 that takes 3 GB."""


class Embedder:
    """One text at a time; pooling as the model says, else the mean over its tokens."""

    def __init__(self, weights: Weights, *, context_tokens: int, threads: int) -> None:
        size = min(context_tokens, weights.trained_context, *([] if weights.embeds_only else [EMBEDDING_TOKENS]))
        pooling = None if weights.embeds_only else llama_cpp.LLAMA_POOLING_TYPE_MEAN
        try:
            self._context = EmbeddingContext(llama_cpp, weights.handle, tokens=size, threads=threads, pooling=pooling)
        except EmbeddingError:
            raise ConfigurationError(
                f"llamaCpp.contextTokens: {size} tokens do not fit into memory; allowed: fewer"
            ) from None
        self.size = size
        self.tokens = 0
        """Tokens that were embedded since the start."""
        self._weights = weights

    def close(self) -> None:
        self._context.close()

    def embed(self, text: str) -> list[float]:
        """The text's vector, L2-normalised; a text longer than the context is cut at its end."""
        tokens = self._weights.tokens_of(text, begin=True, control=False)[: self.size]
        try:
            vector = self._context.vector(tokens)
        except EmbeddingError as error:
            raise EngineError(str(error)) from None
        self.tokens += len(tokens)
        return [float(value) for value in vector]
