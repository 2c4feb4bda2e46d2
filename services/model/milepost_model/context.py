"""Several sequences in one llama.cpp context. Belongs to one thread: two at once abort the process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import llama_cpp
import numpy as np
import numpy.typing as npt

from milepost_model.errors import EngineError, WorkCancelledError
from milepost_model.kv_cache import KvSequence
from milepost_model.scheduler import BATCH_TOKENS, Slice, computed
from milepost_model.weights import Weights
from milepost_service.errors import ConfigurationError

_BESIDE_BYTES = 10_000_000_000
"""Weights read for the prompts of one batch beside those that make tokens: a fraction of a second of computing."""
_BESIDE_TOKENS = (16, 64)
_STOPPABLE_TOKENS = 16
"""llama.cpp can be stopped in the middle of a batch of this size; asking in a smaller one costs more than it saves."""

_ABORTED = 2  # status of llama_decode; the memory is as it was before

_NO_CALLBACK = llama_cpp.ggml_abort_callback()

Logits = npt.NDArray[np.float32]
Cancelled = Callable[[], bool]


def beside_tokens(weight_bytes: int) -> int:
    """Tokens of prompts computed at once beside sequences that make tokens: fewer, the larger the model."""
    least, most = _BESIDE_TOKENS
    return max(least, min(most, _BESIDE_BYTES // max(1, weight_bytes)))


class Context:
    """Computes slices of sequences, any of them in one batch.

    All sequences share one pool of cells. Flash attention passes over the cells of others; without it each token
    would pay for all that the pool holds.
    """

    def __init__(self, weights: Weights, *, pool_tokens: int, sequences: int, threads: int) -> None:
        """`sequences` is how many ids there are."""
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = pool_tokens
        params.n_batch = params.n_ubatch = params.n_outputs_max = BATCH_TOKENS
        params.n_seq_max = sequences
        params.kv_unified = True
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO
        params.n_threads = params.n_threads_batch = threads
        self.handle = llama_cpp.llama_init_from_model(weights.handle, params)
        if not self.handle:
            raise ConfigurationError(
                f"llamaCpp.contextTokens: {pool_tokens} tokens do not fit into memory; allowed: fewer"
            )
        self.weights = weights
        self.computed_tokens = 0
        """Tokens computed since the start, in all sequences."""
        self.batches = 0
        """Batches computed since the start."""
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
    def can_share(self) -> bool:
        """Whether a part of what a sequence holds can be another's: not where the model sums it up in one state."""
        model = self.weights.handle
        return not (llama_cpp.llama_model_is_recurrent(model) or llama_cpp.llama_model_is_hybrid(model))

    def copy(self, source: int, target: int, length: int) -> None:
        """As `Memory` says."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def remove(self, sequence: int, start: int) -> None:
        """As `Memory` says."""
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, start, -1)

    def compute(self, slices: Sequence[Slice], cancelled: Cancelled) -> list[list[int]]:
        """Computes the slices in one batch; for each, the rows of its wanted logits, to be read before the next.

        Raises:
            WorkCancelledError: `cancelled` came true in the middle; nothing was computed.
            EngineError: llama.cpp could not; what the sequences of these slices hold is undefined.
        """
        self._batch.n_tokens = 0
        rows = [self._fill(part, self._batch.n_tokens) for part in slices]
        size = self._batch.n_tokens
        with self._stopped_by(cancelled if size >= _STOPPABLE_TOKENS else None):
            status = llama_cpp.llama_decode(self.handle, self._batch)
        if status == _ABORTED:
            raise WorkCancelledError
        if status != 0:
            raise EngineError(f"llama.cpp could not compute {size} tokens (status {status})")
        self.computed_tokens += size
        self.batches += 1
        return rows

    def warm_up(self) -> None:
        """Computes a short prompt and one token after it, and forgets them."""
        sequence = KvSequence(0, pending=self.weights.tokens_of("ready", begin=True, control=False))
        for _ in range(2):
            part = Slice(sequence, len(sequence.pending))
            ((row,),) = self.compute([part], lambda: False)
            computed(part)
            sequence.pending = [int(self.logits(row).argmax())]
        self.remove(sequence.id, 0)

    def logits(self, row: int) -> Logits:
        """Logits of a row, a copy of shape (vocabulary,)."""
        pointer = llama_cpp.llama_get_logits_ith(self.handle, row)
        return np.ctypeslib.as_array(pointer, shape=(self.weights.vocabulary_size,)).copy()

    def _fill(self, part: Slice, begin: int) -> list[int]:
        """Writes the slice into the batch from row `begin` on; returns its rows of wanted logits."""
        batch, sequence = self._batch, part.sequence
        first_wanted = begin + part.count - part.outputs
        for row in range(begin, begin + part.count):
            batch.token[row] = sequence.pending[row - begin]
            batch.pos[row] = len(sequence.tokens) + row - begin
            batch.n_seq_id[row] = 1
            batch.seq_id[row][0] = sequence.id
            batch.logits[row] = row >= first_wanted
        batch.n_tokens = begin + part.count
        return list(range(first_wanted, begin + part.count))

    @contextmanager
    def _stopped_by(self, cancelled: Cancelled | None) -> Iterator[None]:
        if cancelled is None:
            yield
            return
        self._cancelled = cancelled
        llama_cpp.llama_set_abort_callback(self.handle, self._asks, None)
        try:
            yield
        finally:
            llama_cpp.llama_set_abort_callback(self.handle, _NO_CALLBACK, None)
            self._cancelled = None
