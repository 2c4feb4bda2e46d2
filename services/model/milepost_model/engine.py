"""The model behind one owner thread: generate, decide among choices, score, embed."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from milepost_model.chat import ChatTemplate
from milepost_model.context import PIECE_TOKENS, Context, Logits
from milepost_model.embedder import Embedder
from milepost_model.errors import NotOfferedError, PromptTooLongError, WorkCancelledError
from milepost_model.sampler import Sampler, Sampling
from milepost_model.text_stream import TextStream
from milepost_model.weights import Weights
from milepost_model.worker import Job, Worker
from milepost_service.models import sha256_of
from milepost_service.usage import Load

MIN_ANSWER_TOKENS = 16
"""A prompt must leave at least this much room for the answer."""

_log = logging.getLogger(__name__)

Emit = Callable[[str], None]
_Worked = tuple[list[float], list[float] | None, float]
"""Scores after the prompt, those after the baseline, milliseconds in the queue."""


@dataclass(frozen=True)
class Finished:
    """The end of a generation. Times are in milliseconds."""

    reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    queue_ms: float
    first_token_ms: float
    """From the request to the first token, the time in the queue included."""
    tokens_per_second: float
    cached_tokens: int
    """Tokens of the prompt that were computed for an earlier request."""
    choice: str = ""


@dataclass(frozen=True)
class Scored:
    """Natural log-probability of one continuation, summed over its tokens; and after the baseline, if there was one."""

    text: str
    log_probability: float
    tokens: int
    baseline_log_probability: float | None = None


@dataclass(frozen=True)
class Scores:
    """Of all candidates; `truncated` when the prompt was cut at its beginning."""

    items: list[Scored]
    truncated: bool
    prompt_tokens: int
    queue_ms: float


@dataclass(frozen=True)
class Embeddings:
    """L2-normalised vectors, and how many tokens they took."""

    vectors: list[list[float]]
    tokens: int
    queue_ms: float


@dataclass(frozen=True)
class Choice:
    """A decision at the end of an answer: `lead` is appended to it, then the likeliest of `options` is taken."""

    lead: str
    options: tuple[str, ...]


class Engine:
    """One model. Everything that touches llama.cpp's context runs in the worker's thread."""

    def __init__(self, *, queue_size: int) -> None:
        self.worker = Worker("model", queue_size=queue_size)
        self.tokens_per_second = 0.0
        """Decoding speed of the last generation of at least 8 tokens."""
        self.generated_tokens = 0
        """Tokens drawn since the start, those of cancelled requests included."""
        self._weights: Weights | None = None
        self._context: Context | None = None
        self._embedder: Embedder | None = None
        self._chat: ChatTemplate | None = None
        self.sha256 = ""
        self.kv_bytes_per_token = 0

    async def load(self, path: Path, *, context_tokens: int, threads: int, embeddings: bool) -> None:
        """Loads the file and computes one token (or one embedding); only then can it be called ready."""
        digest = asyncio.create_task(asyncio.to_thread(sha256_of, path))
        begin = time.monotonic()
        await self.worker.run(lambda job: self._load(path, context_tokens, threads, embeddings))
        _log.info("loaded %s and computed a first token in %.2f s", path.name, time.monotonic() - begin)
        self.sha256 = await digest

    def close(self) -> None:
        """Cancels what runs, ends the thread and frees the memory."""
        self.worker.close()
        for part in (self._context, self._embedder, self._weights):
            if part:
                part.close()

    def load_now(self) -> Load:
        """What it works on, what waits, and what it has made."""
        return Load(self.worker.running, self.worker.waiting, self.generated_tokens)

    @property
    def prefilled_tokens(self) -> int:
        """Tokens of prompts computed since the start, those of cancelled requests included."""
        return self._context.prefilled_tokens if self._context else 0

    @property
    def kept_tokens(self) -> int:
        """Tokens whose keys and values are kept for the next request."""
        return len(self._context.tokens) if self._context else 0

    @property
    def embedded_tokens(self) -> int:
        """Tokens of texts that were embedded since the start."""
        return self._embedder.tokens if self._embedder else 0

    @property
    def weights(self) -> Weights:
        assert self._weights is not None, "load() comes first"
        return self._weights

    @property
    def makes_text(self) -> bool:
        return self._context is not None

    @property
    def embedding_size(self) -> int:
        """Length of an embedding; 0 when the model makes none."""
        return self.weights.embedding_size if self._embedder else 0

    @property
    def context_tokens(self) -> int:
        part = self._context or self._embedder
        assert part is not None, "load() comes first"
        return part.size

    @property
    def prompt_limit(self) -> int:
        """Most tokens of a prompt."""
        return self.context_tokens - MIN_ANSWER_TOKENS

    @property
    def chat(self) -> ChatTemplate:
        """The chat template; NoChatTemplateError when the model has none, NotOfferedError when it makes no text."""
        self._require_text()
        if self._chat is None:
            self._chat = ChatTemplate(self.weights)
        return self._chat

    def raw_tokens(self, prompt: str) -> list[int]:
        """Tokens of a prompt that is taken as it is."""
        return self.weights.tokens_of(prompt, begin=True, control=True)

    async def generate(
        self, prompt: Sequence[int], sampling: Sampling, choice: Choice | None = None
    ) -> AsyncGenerator[str | Finished, None]:
        """Text as it is made, then one Finished. Closing the iterator stops the work after the current token."""
        self._require_text()
        if len(prompt) > self.prompt_limit:
            raise PromptTooLongError(len(prompt), self.prompt_limit, self.context_tokens)

        def work(job: Job[Finished], emit: Emit) -> Finished:
            return self._generate(job, prompt, sampling, choice, emit)

        items = self.worker.stream(work)
        async with aclosing(items):
            async for item in items:
                yield item

    async def score(
        self, prompt: Sequence[int], candidates: Sequence[str], baseline: Sequence[int] | None = None
    ) -> Scores:
        """Each candidate as the continuation of the prompt and, when there is one, of a baseline.

        The baseline comes first: what the prompt begins with like it is not computed again.
        """
        self._require_text()
        parts = [self.weights.tokens_of(text, begin=False, control=False) for text in candidates]
        room = self.context_tokens - max(map(len, parts))
        if room < 1:
            raise PromptTooLongError(max(map(len, parts)), self.prompt_limit, self.context_tokens)
        kept = _last(prompt, room)

        def work(job: Job[_Worked]) -> _Worked:
            against = None if baseline is None else self._score(job, _last(baseline, room), parts)
            return self._score(job, kept, parts), against, job.queue_ms

        scores, against, queue_ms = await self.worker.run(work)
        scored = [
            Scored(text, value, len(part), None if against is None else against[index])
            for index, (text, value, part) in enumerate(zip(candidates, scores, parts, strict=True))
        ]
        return Scores(scored, len(kept) < len(prompt), len(kept), queue_ms)

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """A text that is longer than the context is cut at its end."""
        embedder = self._embedder
        if embedder is None:
            raise NotOfferedError(f"{self.weights.name} makes no embeddings; allowed: llamaCpp.embeddings: true")

        def work(job: Job[Embeddings]) -> Embeddings:
            before = embedder.tokens
            vectors = [embedder.embed(text, job.cancelled) for text in texts]
            return Embeddings(vectors, embedder.tokens - before, job.queue_ms)

        return await self.worker.run(work)

    def _require_text(self) -> None:
        if not self.makes_text:
            raise NotOfferedError(f"{self.weights.name} makes embeddings only; allowed: Embed")

    def _load(self, path: Path, context_tokens: int, threads: int, embeddings: bool) -> None:
        weights = self._weights = Weights(path)
        if weights.embeds_only or embeddings:
            self._embedder = Embedder(weights, context_tokens=context_tokens, threads=threads)
        if weights.embeds_only:
            self._embedder.embed("ready", lambda: False)  # type: ignore[union-attr] # made above
            return
        context = self._context = Context(weights, context_tokens=context_tokens, threads=threads)
        context.prefill(weights.tokens_of("ready", begin=True, control=False), lambda: False)
        sampler = Sampler(Sampling())
        context.extend([sampler.draw(context)])
        sampler.close()

    def _generate(
        self, job: Job[Finished], prompt: Sequence[int], sampling: Sampling, choice: Choice | None, emit: Emit
    ) -> Finished:
        context, weights = self._context, self.weights
        assert context is not None
        limit = min(sampling.max_tokens, context.size - len(prompt) - self._choice_room(choice))
        cached = context.prefill(prompt, job.cancelled)
        stream, sampler = TextStream(sampling.stop), Sampler(sampling)
        made: list[int] = []
        reason: Literal["stop", "length"] = "length"
        begin, first_ms = time.monotonic(), 0.0
        try:
            while len(made) < limit:
                token = sampler.draw(context)
                self.generated_tokens += 1
                first_ms = first_ms or job.age_ms
                if weights.ends(token):
                    reason = "stop"
                    break
                made.append(token)
                if text := stream.push(weights.bytes_of(token)):
                    emit(text)
                if stream.stopped:
                    reason = "stop"
                    break
                if job.cancelled():
                    raise WorkCancelledError
                context.extend([token])
        finally:
            sampler.close()
        speed = self._measure(len(made), time.monotonic() - begin)
        if rest := stream.finish():
            emit(rest)
        chosen = self._choose(job, [*prompt, *made], choice) if choice else ""
        return Finished(reason, len(prompt), len(made), job.queue_ms, first_ms, speed, cached, chosen)

    def _choice_room(self, choice: Choice | None) -> int:
        if choice is None:
            return 0
        tokens_of = self.weights.tokens_of
        longest = max(len(tokens_of(option, begin=False, control=False)) for option in choice.options)
        return longest + len(tokens_of(choice.lead, begin=False, control=False))

    def _choose(self, job: Job[Finished], answered: list[int], choice: Choice) -> str:
        tokens_of = self.weights.tokens_of
        prompt = answered + tokens_of(choice.lead, begin=False, control=False)
        parts = [tokens_of(f" {option}", begin=False, control=False) for option in choice.options]
        scores = self._score(job, prompt, parts)
        return choice.options[int(np.argmax(scores))]

    def _score(self, job: "Job[_Worked] | Job[Finished]", prompt: Sequence[int], parts: list[list[int]]) -> list[float]:
        context = self._context
        assert context is not None
        context.prefill(prompt, job.cancelled)
        first = _log_softmax(context.logits())
        scores = []
        for part in parts:
            value = float(first[part[0]])
            for start in range(0, len(part) - 1, PIECE_TOKENS):
                if job.cancelled():
                    raise WorkCancelledError
                following = part[start + 1 : start + 1 + PIECE_TOKENS]
                context.extend(part[start : start + len(following)], all_logits=True)
                for index, token in enumerate(following):
                    value += float(_log_softmax(context.logits(index))[token])
            context.cut(len(prompt))
            scores.append(value)
        return scores

    def _measure(self, tokens: int, seconds: float) -> float:
        speed = tokens / seconds if seconds > 0 else 0.0
        if tokens >= 8 and speed:
            self.tokens_per_second = speed
        return speed


def _last(tokens: Sequence[int], count: int) -> Sequence[int]:
    return tokens[max(0, len(tokens) - count) :]


def _log_softmax(logits: Logits) -> Logits:
    shifted = logits - logits.max()
    result: Logits = shifted - np.log(np.exp(shifted).sum())
    return result
