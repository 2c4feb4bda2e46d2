"""Work on one request as steps between batches: making an answer, weighing continuations."""

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from milepost_model.batcher import Computed
from milepost_model.context import Context
from milepost_model.job import Job
from milepost_model.kv_cache import KvCache, KvSequence
from milepost_model.log_probabilities import Drawn, log_probability, weigh
from milepost_model.results import Finished
from milepost_model.sampler import Sampler
from milepost_model.sampling import Sampling
from milepost_model.text_stream import TextStream

_MEASURED_TOKENS = 8
"""An answer of fewer says nothing about speed."""


@dataclass(frozen=True)
class ChoiceTokens:
    """The decision at the end of an answer: after `lead`, one of `parts`, the tokens of `options`."""

    lead: Sequence[int] = ()
    parts: Sequence[Sequence[int]] = ()
    options: Sequence[str] = ()


class Decoder:
    """Makes and weighs tokens over one context. Belongs to the thread of the context."""

    def __init__(self, context: Context, cache: KvCache) -> None:
        self.generated_tokens = 0
        """Tokens drawn since the start, those of cancelled requests included."""
        self.tokens_per_second = 0.0
        """Decoding speed of the last generation of at least 8 tokens."""
        self._context = context
        self._cache = cache
        self._weights = context.weights

    def generate(
        self,
        job: Job[Finished],
        trunk: KvSequence,
        sampling: Sampling,
        limit: int,
        choice: ChoiceTokens,
        drawn: deque[Drawn] | None,
    ) -> Generator[None, Computed, Finished]:
        """Emits the answer of at most `limit` tokens to the prompt that is pending in `trunk`.

        Each token is in `drawn`, where there is one, before its text is emitted.
        """
        prompt_tokens = len(trunk.prompt)
        stream, sampler = TextStream(sampling.stop), Sampler(self._weights, sampling)
        made: list[int] = []
        reason: Literal["stop", "length"] = "length"
        begin, first_ms = 0.0, 0.0
        try:
            while len(made) < limit:
                _, rows = yield
                begin = begin or time.monotonic()
                token = sampler.draw(self._context, rows[-1])
                self.generated_tokens += 1
                first_ms = first_ms or job.age_ms
                if self._weights.ends(token):
                    reason = "stop"
                    break
                made.append(token)
                if drawn is not None:
                    drawn.append(weigh(self._context.logits(rows[-1]), token, sampling.alternatives, self._weights))
                if text := stream.push(self._weights.bytes_of(token)):
                    job.emit(text)
                if stream.stopped:
                    reason = "stop"
                    break
                trunk.pending.append(token)
        finally:
            sampler.close()
        speed = self._measure(len(made), time.monotonic() - begin)
        if rest := stream.finish():
            job.emit(rest)
        chosen = ""
        if choice.options:
            trunk.pending[:] = [*trunk.prompt, *made, *choice.lead][len(trunk.tokens) :]
            scores = yield from self.score(trunk, choice.parts)
            chosen = choice.options[int(np.argmax(scores))]
        return Finished(reason, prompt_tokens, len(made), job.queue_ms, first_ms, speed, trunk.reused, chosen)

    def score_after_each(
        self, trunk: KvSequence, prompts: Sequence[Sequence[int]], parts: Sequence[Sequence[int]]
    ) -> Generator[None, Computed, list[list[float]]]:
        """Scores of the parts after each prompt; the first is pending in `trunk`."""
        scores = [(yield from self.score(trunk, parts))]
        for prompt in prompts[1:]:
            self._cache.restart(trunk, prompt)
            scores.append((yield from self.score(trunk, parts)))
        return scores

    def score(self, trunk: KvSequence, parts: Sequence[Sequence[int]]) -> Generator[None, Computed, list[float]]:
        """Log-probability of each part after what is pending in `trunk`, each in a fork, side by side if they fit."""
        _, rows = yield
        first = self._context.logits(rows[-1])
        scores = [log_probability(first, part[0]) for part in parts]
        waiting = deque(index for index, part in enumerate(parts) if len(part) > 1)
        running: dict[KvSequence, tuple[int, Iterator[int]]] = {}
        room = trunk.reserved - len(trunk.tokens)
        try:
            while waiting or running:
                while waiting and (cells := len(parts[waiting[0]]) - 1) <= room:
                    fork = self._cache.fork(trunk, parts[waiting[0]][:-1])
                    if fork is None:
                        break
                    room -= cells
                    index = waiting.popleft()
                    running[fork] = index, iter(parts[index][1:])
                fork, rows = yield
                if fork is None:
                    continue
                index, following = running[fork]
                scores[index] += sum(log_probability(self._context.logits(row), next(following)) for row in rows)
                if not fork.pending:
                    del running[fork]
                    self._cache.end(fork, keep=False)
                    room += len(parts[index]) - 1
        finally:
            for fork in running:
                self._cache.end(fork, keep=False)
        return scores

    def _measure(self, tokens: int, seconds: float) -> float:
        speed = tokens / seconds if seconds > 0 else 0.0
        if tokens >= _MEASURED_TOKENS and speed:
            self.tokens_per_second = speed
        return speed


def cells_of(parts: Sequence[Sequence[int]]) -> int:
    """Cells that all `parts` take side by side; room for the longest is enough, then they go one after another."""
    return sum(len(part) - 1 for part in parts)
