"""One sequence of tokens in llama.cpp's KV cache. Belongs to one thread: two at once abort the process."""

from collections.abc import Callable, Sequence
from itertools import takewhile

import llama_cpp
import numpy as np
import numpy.typing as npt

from milepost_model.errors import EngineError, WorkCancelledError
from milepost_model.weights import Weights
from milepost_service.errors import ConfigurationError

PREFILL_TOKENS = 128
"""Tokens of a prompt computed between two looks at whether the caller is still there (0.2 to 0.5 s on a small CPU)."""

Logits = npt.NDArray[np.float32]
Cancelled = Callable[[], bool]


class Context:
    """Computes tokens after one another and keeps them, so that the next prompt pays only for what differs."""

    def __init__(self, weights: Weights, *, context_tokens: int, threads: int) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context_tokens
        params.n_batch = params.n_ubatch = min(context_tokens, 512)
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = threads
        self.handle = llama_cpp.llama_init_from_model(weights.handle, params)
        if not self.handle:
            raise ConfigurationError(
                f"llamaCpp.contextTokens: {context_tokens} tokens do not fit into memory; allowed: fewer"
            )
        self.weights = weights
        self.tokens: list[int] = []
        self._memory = llama_cpp.llama_get_memory(self.handle)
        self._batch = llama_cpp.llama_batch_init(params.n_batch, 0, 1)

    def close(self) -> None:
        if self.handle:
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self.handle)
            self.handle = None

    @property
    def size(self) -> int:
        """Tokens that fit."""
        return int(llama_cpp.llama_n_ctx(self.handle))

    def prefill(self, tokens: Sequence[int], cancelled: Cancelled) -> int:
        """Makes the cache hold exactly `tokens`, with logits after the last; returns how many were reused."""
        reused = min(self._shared_with(tokens), len(tokens) - 1)
        reused = self.cut(reused)
        for start in range(reused, len(tokens), PREFILL_TOKENS):
            if cancelled():
                raise WorkCancelledError
            self.extend(tokens[start : start + PREFILL_TOKENS])
        return reused

    def extend(self, tokens: Sequence[int], *, all_logits: bool = False) -> None:
        """Appends at most one batch of tokens; logits of the last (or of all) can be read afterwards."""
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = len(self.tokens) + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = all_logits or index == len(tokens) - 1
        status = llama_cpp.llama_decode(self.handle, batch)
        if status != 0:
            self.cut(0)
            raise EngineError(f"llama.cpp could not compute {len(tokens)} tokens (status {status})")
        self.tokens.extend(tokens)

    def cut(self, length: int) -> int:
        """Forgets every token from `length` on; returns how many are left (0 where a cache cannot be cut)."""
        if length < len(self.tokens) and not llama_cpp.llama_memory_seq_rm(self._memory, 0, length, -1):
            llama_cpp.llama_memory_clear(self._memory, True)
            length = 0
        del self.tokens[length:]
        return length

    def logits(self, index: int = -1) -> Logits:
        """Logits after the token at `index` of the last batch, a copy of shape (vocabulary,)."""
        pointer = llama_cpp.llama_get_logits_ith(self.handle, index)
        return np.ctypeslib.as_array(pointer, shape=(self.weights.vocabulary_size,)).copy()

    def _shared_with(self, tokens: Sequence[int]) -> int:
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self.tokens, tokens, strict=False)))
