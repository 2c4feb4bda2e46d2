"""One sequence of tokens in llama.cpp's KV cache. Belongs to one thread: two at once abort the process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile

import llama_cpp
import numpy as np
import numpy.typing as npt

from milepost_model.errors import EngineError, WorkCancelledError
from milepost_model.weights import Weights
from milepost_service.errors import ConfigurationError

PIECE_TOKENS = 128
"""Tokens computed at once. llama.cpp can be stopped in the middle of them: with a large model they take seconds."""

_ABORTED = 2  # status of llama_decode; the memory is as it was before

_NO_CALLBACK = llama_cpp.ggml_abort_callback()

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
        self.prefilled_tokens = 0
        """Tokens of prompts computed since the start."""
        self._memory = llama_cpp.llama_get_memory(self.handle)
        self._batch = llama_cpp.llama_batch_init(params.n_batch, 0, 1)
        self._cancelled: Cancelled | None = None
        self._asks = llama_cpp.ggml_abort_callback(lambda _: self._cancelled is not None and self._cancelled())

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
        """Makes the cache hold exactly `tokens`, with logits after the last; returns how many were reused.

        Raises:
            WorkCancelledError: `cancelled` came true; the cache holds as many of the tokens as were computed.
        """
        reused = min(self._shared_with(tokens), len(tokens) - 1)
        reused = self.cut(reused)
        with self._stopped_by(cancelled):
            for start in range(reused, len(tokens), PIECE_TOKENS):
                if cancelled():
                    raise WorkCancelledError
                piece = tokens[start : start + PIECE_TOKENS]
                self.extend(piece)
                self.prefilled_tokens += len(piece)
        return reused

    @contextmanager
    def _stopped_by(self, cancelled: Cancelled) -> Iterator[None]:
        """llama.cpp asks in the middle of a computation: not between single tokens, where it would cost more."""
        self._cancelled = cancelled
        llama_cpp.llama_set_abort_callback(self.handle, self._asks, None)
        try:
            yield
        finally:
            llama_cpp.llama_set_abort_callback(self.handle, _NO_CALLBACK, None)
            self._cancelled = None

    def extend(self, tokens: Sequence[int], *, all_logits: bool = False) -> None:
        """Appends at most PIECE_TOKENS; logits of the last (or of all) can be read afterwards."""
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = len(self.tokens) + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = all_logits or index == len(tokens) - 1
        status = llama_cpp.llama_decode(self.handle, batch)
        if status == _ABORTED:
            raise WorkCancelledError
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
