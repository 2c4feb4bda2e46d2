"""The embedding model: one llama.cpp context on one thread, used by one thread."""

from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import numpy as np
import numpy.typing as npt

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
        try:
            self._llama = llama_cpp.Llama(
                str(path),
                embedding=True,
                n_ctx=CONTEXT_TOKENS,
                n_batch=CONTEXT_TOKENS,
                n_ubatch=CONTEXT_TOKENS,
                n_threads=1,
                n_threads_batch=1,
                verbose=False,
            )
        except ValueError:
            raise ConfigurationError(
                f"MILEPOST_EMBEDDING_MODEL: {path} cannot be loaded by llama.cpp; allowed: a GGUF embedding model"
            ) from None
        self.size = int(self._llama.n_embd())
        """Length of a vector."""

    def count(self, text: str) -> int:
        """Tokens of a text. A word that the vocabulary lacks is one token, however long: then characters count."""
        return max(
            len(self._llama.tokenize(text.encode(), add_bos=False, special=False)), len(text) // _TOKEN_CHARACTERS
        )

    def embed(self, texts: Sequence[str]) -> Vectors:
        """L2-normalised vectors, shape (texts, size); a text over 512 tokens is cut at its end."""
        rows = [self._llama.embed(text, normalize=False, truncate=True) for text in texts]
        vectors = np.asarray(rows, dtype=np.float32).reshape(len(texts), self.size)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        result: Vectors = vectors / np.maximum(lengths, 1e-12)
        return result

    def close(self) -> None:
        self._llama.close()
