"""The embedding model: one llama.cpp context on one thread, used by one thread."""

from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import numpy as np
import numpy.typing as npt

from milepost_service.embedding import EmbeddingContext, EmbeddingError, tokens_of
from milepost_service.errors import ConfigurationError
from milepost_service.models import require_gguf, silence_llama

CONTEXT_TOKENS = 512
_TOKEN_CHARACTERS = 12

Vectors = npt.NDArray[np.float32]


class Embedder:
    """Loads the GGUF at once; ConfigurationError when it cannot be used."""

    def __init__(self, path: Path) -> None:
        require_gguf(path, "MILEPOST_EMBEDDING_MODEL")
        silence_llama(llama_cpp)
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        try:
            if not self._model:
                raise EmbeddingError("llama.cpp does not load it")
            self._context = EmbeddingContext(llama_cpp, self._model, tokens=CONTEXT_TOKENS, threads=1)
            if self._context.pooling == llama_cpp.LLAMA_POOLING_TYPE_NONE:
                raise EmbeddingError("it makes text, not vectors")
        except EmbeddingError as error:
            raise ConfigurationError(
                f"MILEPOST_EMBEDDING_MODEL: {path} cannot be used: {error}; allowed: a GGUF embedding model"
            ) from None
        self._vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self.size = self._context.width
        """Length of a vector."""

    def count(self, text: str) -> int:
        """Tokens of a text. A word that the vocabulary lacks is one token, however long: then characters count."""
        return max(len(tokens_of(llama_cpp, self._vocabulary, text, begin=False)), len(text) // _TOKEN_CHARACTERS)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """L2-normalised vectors, shape (texts, size); a text over 512 tokens is cut at its end."""
        vectors = [self._context.vector(self._tokens(text)) for text in texts]
        return np.asarray(vectors, dtype=np.float32).reshape(len(texts), self.size)

    def close(self) -> None:
        self._context.close()
        llama_cpp.llama_model_free(self._model)

    def _tokens(self, text: str) -> list[int]:
        return tokens_of(llama_cpp, self._vocabulary, text)[:CONTEXT_TOKENS]
