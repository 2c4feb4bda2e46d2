"""A GGUF language model that reads a text behind a prompt kept in its cache and says how likely each letter is next.

One forward pass an answer: the prompt before the request is evaluated once, then the cache is cut back to it, and only
the tokens of the request and of the prompt's tail are evaluated. Belongs to one thread: two at once abort the process.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost_agent.router.errors import ModelUnusableError, StoppedError
from milepost_agent.router.heads import log_softmax
from milepost_agent.router.language_model_prompt import LETTERS, Prompt, Template
from milepost_agent.router.llama import load_llama

MAX_TOKENS = 96
KEPT_FROM_START = 64  # the rest of MAX_TOKENS comes from the end, as for the embedding model
MAX_CHARACTERS = 6000
PIECE_TOKENS = 128

_ABORTED = 2  # status of llama_decode


class StopFlag:
    """Ends a forward pass from another thread, in the middle of it.

    llama.cpp asks a function before each of some hundred operations of a pass. One in Python would wait for the
    interpreter each time: a pass took half as long again beside one busy thread. So it is strlen: 0, "go on", for the
    empty text that `address` points to, and 1 after `set`.
    """

    def __init__(self) -> None:
        self._text = ctypes.create_string_buffer(2)

    def set(self) -> None:
        self._text[0] = b"!"

    @property
    def is_set(self) -> bool:
        return self._text.value != b""

    @property
    def address(self) -> ctypes.c_void_p:
        return ctypes.cast(self._text, ctypes.c_void_p)


class LanguageModel:
    """One file and one sequence of tokens. `evaluated_tokens` counts what was computed since the start."""

    def __init__(self, path: Path, *, threads: int, context_tokens: int) -> None:
        """Load the file; raises ModelUnusableError when llama.cpp refuses it, or it cannot name a letter."""
        self.name = path.name
        self.evaluated_tokens = 0
        self._context_tokens = context_tokens
        self._prefix: list[int] = []
        self._tail: list[int] = []
        self._llama = load_llama()
        self._context: Any = None
        self._batch: Any = None
        params = self._llama.llama_model_default_params()
        params.n_gpu_layers = 0
        self._model = self._llama.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise self._refused("cannot be loaded by llama.cpp")
        self._vocabulary = self._llama.llama_model_get_vocab(self._model)
        self._vocabulary_size: int = self._llama.llama_vocab_n_tokens(self._vocabulary)
        try:
            self._letters = [self._tokens_of_letter(letter) for letter in LETTERS]
            self._open(threads)
        except ModelUnusableError:
            self.close()
            raise

    @property
    def template(self) -> Template | None:
        """The chat template of the file; None where it has none."""
        source = self._llama.llama_model_chat_template(self._model, None)
        if not source:
            return None
        begin, end = self._llama.llama_vocab_bos(self._vocabulary), self._llama.llama_vocab_eos(self._vocabulary)
        return Template(source.decode(errors="replace"), self._text_of(begin), self._text_of(end))

    def keep(self, prompt: Prompt, stop: StopFlag) -> None:
        """Evaluate the prompt up to the request; raises ModelUnusableError when it does not fit, or cannot be kept."""
        begin = self._text_of(self._llama.llama_vocab_bos(self._vocabulary))
        adds = not (begin and prompt.prefix.startswith(begin))
        self._prefix = self._tokens(prompt.prefix, begin=adds, control=True)
        self._tail = self._tokens(prompt.tail, control=True)
        needed = len(self._prefix) + MAX_TOKENS + len(self._tail)
        if needed > self._context_tokens:
            raise self._refused(f"needs {needed} tokens for the prompt; allowed: {self._context_tokens}")
        self._evaluate(self._prefix, 0, stop)
        self._evaluate(self._tail, len(self._prefix), stop)
        self._cut()

    def score(self, text: str, stop: StopFlag) -> tuple[NDArray[np.float64], bool]:
        """Log-probabilities of the letters among themselves, shape (6,), and whether the text was cut.

        Raises StoppedError when `stop` was set in time, ModelUnusableError when llama.cpp fails.
        """
        tokens, cut = self._read(text)
        self._cut()
        self._evaluate([*tokens, *self._tail], len(self._prefix), stop)
        pointer = self._llama.llama_get_logits_ith(self._context, -1)
        logits = np.ctypeslib.as_array(pointer, (self._vocabulary_size,)).astype(np.float64)
        letters = np.array([np.logaddexp.reduce(logits[forms]) for forms in self._letters])
        if not np.isfinite(letters).all():
            raise self._refused("gave no usable scores")
        return log_softmax(letters), cut

    def close(self) -> None:
        """Free everything; harmless when called again."""
        if self._batch is not None:
            self._llama.llama_batch_free(self._batch)
        if self._context:
            self._llama.llama_free(self._context)
        if self._model:
            self._llama.llama_model_free(self._model)
        self._batch = self._context = self._model = None

    def _open(self, threads: int) -> None:
        params = self._llama.llama_context_default_params()
        params.n_ctx = self._context_tokens
        params.n_batch = params.n_ubatch = PIECE_TOKENS
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = threads
        self._context = self._llama.llama_init_from_model(self._model, params)
        if not self._context:
            raise self._refused(f"gets no context of {self._context_tokens} tokens")
        self._memory = self._llama.llama_get_memory(self._context)
        if not self._memory or self._llama.llama_model_has_encoder(self._model):
            raise self._refused("writes no text: it is an encoder")
        self._batch = self._llama.llama_batch_init(PIECE_TOKENS, 0, 1)
        self._asks = ctypes.cast(ctypes.CDLL(None).strlen, self._llama.ggml_abort_callback)

    def _cut(self) -> None:
        if not self._llama.llama_memory_seq_rm(self._memory, 0, len(self._prefix), -1):
            raise self._refused("cannot go back to the prompt: its memory is recurrent")

    def _evaluate(self, tokens: Sequence[int], position: int, stop: StopFlag) -> None:
        """Append tokens from `position` on, with logits after the last."""
        self._llama.llama_set_abort_callback(self._context, self._asks, stop.address)
        for start in range(0, len(tokens), PIECE_TOKENS):
            piece = tokens[start : start + PIECE_TOKENS]
            batch = self._batch
            batch.n_tokens = len(piece)
            for index, token in enumerate(piece):
                batch.token[index] = token
                batch.pos[index] = position + start + index
                batch.n_seq_id[index] = 1
                batch.seq_id[index][0] = 0
                batch.logits[index] = start + index == len(tokens) - 1
            status = self._llama.llama_decode(self._context, batch)
            if status == _ABORTED:
                raise StoppedError
            if status != 0:
                raise self._refused(f"could not read {len(piece)} tokens (status {status})")
            self.evaluated_tokens += len(piece)

    def _read(self, text: str) -> tuple[list[int], bool]:
        """Tokens of a request. Control texts in it are plain letters: they cannot end the user's turn."""
        half = MAX_CHARACTERS // 2
        short = text if len(text) <= MAX_CHARACTERS else f"{text[:half]} {text[-half:]}"
        tokens = self._tokens(short)
        if len(tokens) > MAX_TOKENS:
            return tokens[:KEPT_FROM_START] + tokens[KEPT_FROM_START - MAX_TOKENS :], True
        return tokens, len(short) < len(text)

    def _tokens_of_letter(self, letter: str) -> list[int]:
        """The tokens that a letter may be: with a space before it, or without."""
        readings = [self._tokens(text) for text in (letter, f" {letter}")]
        forms = {tokens[0] for tokens in readings if len(tokens) == 1 and self._piece(tokens[0]) == letter}
        if not forms:
            raise self._refused(f'has no token for the letter "{letter}"')
        return sorted(forms)

    def _piece(self, token: int) -> str:
        buffer = ctypes.create_string_buffer(16)
        size = self._llama.llama_token_to_piece(self._vocabulary, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(size, 0)].decode(errors="replace").strip()

    def _tokens(self, text: str, *, begin: bool = False, control: bool = False) -> list[int]:
        data = text.encode("utf-8", errors="replace").replace(b"\0", b" ")
        buffer = (self._llama.llama_token * (len(data) + 8))()
        count = self._llama.llama_tokenize(self._vocabulary, data, len(data), buffer, len(buffer), begin, control)
        if count < 0:
            raise self._refused(f"could not part {len(data)} bytes into tokens")
        return list(buffer[:count])

    def _text_of(self, token: int) -> str:
        text = self._llama.llama_vocab_get_text(self._vocabulary, token) if token >= 0 else None
        return text.decode(errors="replace") if text else ""

    def _refused(self, why: str) -> ModelUnusableError:
        return ModelUnusableError(f"{self.name} {why}")
