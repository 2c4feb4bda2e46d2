"""How the next token is drawn."""

import ctypes
import secrets
from collections import Counter

import llama_cpp
import numpy as np
import numpy.typing as npt

from milepost_model.context import Context, Logits
from milepost_model.errors import EngineError
from milepost_model.sampling import Sampling
from milepost_model.weights import Weights
from milepost_service.errors import InvalidArgumentError

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])  # llama_token_data


class Sampler:
    """llama.cpp's sampler chain for one generation, with a random generator of its own.

    A grammar is asked about the token that was drawn, and only when it says no about the whole vocabulary: asking
    about all of it for each token would take longer than computing the token.
    """

    def __init__(self, weights: Weights, sampling: Sampling) -> None:
        self._grammar = _grammar_of(weights, sampling.grammar) if sampling.grammar else None
        self._chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        for part in _parts(sampling):
            llama_cpp.llama_sampler_chain_add(self._chain, part)
        self._presence, self._frequency = sampling.presence_penalty, sampling.frequency_penalty
        self._drawn: Counter[int] = Counter()

    def draw(self, context: Context, row: int) -> int:
        """The next token after a row of logits."""
        if self._presence or self._frequency:
            return self._draw_penalised(context.logits(row))
        token = int(llama_cpp.llama_sampler_sample(self._chain, context.handle, row))
        if self._grammar is None:
            return token
        if not self._allows(token):
            token = self._draw_allowed(context.logits(row))
        llama_cpp.llama_sampler_accept(self._grammar, token)
        return token

    def _draw_penalised(self, logits: Logits) -> int:
        for drawn, times in self._drawn.items():
            logits[drawn] -= self._presence + times * self._frequency
        token = self._draw_among(_words(logits))
        if self._grammar is not None:
            token = token if self._allows(token) else self._draw_allowed(logits)
            llama_cpp.llama_sampler_accept(self._grammar, token)
        self._drawn[token] += 1
        return token

    def close(self) -> None:
        llama_cpp.llama_sampler_free(self._chain)
        if self._grammar is not None:
            llama_cpp.llama_sampler_free(self._grammar)

    def _allows(self, token: int) -> bool:
        only = np.array([(token, 0.0, 0.0)], dtype=_CANDIDATE)
        llama_cpp.llama_sampler_apply(self._grammar, ctypes.byref(_candidates(only)))
        return bool(np.isfinite(only["logit"][0]))

    def _draw_allowed(self, logits: Logits) -> int:
        words = _words(logits)
        llama_cpp.llama_sampler_apply(self._grammar, ctypes.byref(_candidates(words)))
        allowed = words[np.isfinite(words["logit"])]
        if not len(allowed):
            raise EngineError("no token of the model's vocabulary continues what the grammar allows")
        return self._draw_among(allowed)

    def _draw_among(self, words: npt.NDArray[np.void]) -> int:
        array = _candidates(words)
        llama_cpp.llama_sampler_apply(self._chain, ctypes.byref(array))
        return int(array.data[array.selected].id)


def _words(logits: Logits) -> npt.NDArray[np.void]:
    words = np.zeros(len(logits), dtype=_CANDIDATE)
    words["id"], words["logit"] = np.arange(len(logits)), logits
    return words


def _candidates(words: npt.NDArray[np.void]) -> llama_cpp.llama_token_data_array:
    """llama.cpp's view of `words`, which must live as long."""
    data = words.ctypes.data_as(llama_cpp.llama_token_data_p)
    return llama_cpp.llama_token_data_array(data=data, size=len(words), selected=-1, sorted=False)


def _grammar_of(weights: Weights, text: str) -> object:
    grammar = llama_cpp.llama_sampler_init_grammar(weights.vocabulary, text.encode(), b"root")
    if not grammar:
        raise InvalidArgumentError("json_schema: llama.cpp cannot follow it; allowed: a schema that ends somewhere")
    return grammar


def _parts(sampling: Sampling) -> list[object]:
    if sampling.temperature == 0:
        return [llama_cpp.llama_sampler_init_greedy()]
    seed = secrets.randbits(32) if sampling.seed is None else sampling.seed
    return [
        llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1),
        llama_cpp.llama_sampler_init_temp(sampling.temperature),
        llama_cpp.llama_sampler_init_dist(seed),
    ]
