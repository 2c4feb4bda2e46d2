"""The model as callers in an event loop see it: generate, decide among choices, score, embed."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from milepost_model.batcher import Aside, Batcher, Steps, Task
from milepost_model.chat import ChatTemplate
from milepost_model.context import Context, beside_tokens
from milepost_model.embedder import Embedder
from milepost_model.errors import NotOfferedError, PromptTooLongError, QueueFullError
from milepost_model.generation import ChoiceTokens, Decoder, cells_of
from milepost_model.job import Job
from milepost_model.kv_cache import KvCache, KvSequence
from milepost_model.log_probabilities import Drawn
from milepost_model.results import Choice, Embeddings, Finished, Scored, Scores
from milepost_model.sampling import Sampling
from milepost_model.scheduler import Scheduler
from milepost_model.weights import Weights
from milepost_model.worker import Worker
from milepost_service.models import sha256_of
from milepost_service.usage import Load

MIN_ANSWER_TOKENS = 16
"""A prompt must leave at least this much room for the answer."""

SIDE_BY_SIDE = 8
"""Most requests that run at once in the room of one whole context."""
MOST_SIDE_BY_SIDE = 32
SPARE_SEQUENCES = 16
"""Ids of sequences besides those of running requests: for what is kept, and for continuations that are weighed."""

_log = logging.getLogger(__name__)


class Engine:
    """One model. Everything that touches llama.cpp's contexts runs in the worker's thread."""

    def __init__(self, *, queue_size: int) -> None:
        self.sha256 = ""
        self.kv_bytes_per_token = 0
        self.side_by_side = 0
        """Most requests that run at once; 0 where the model makes no text."""
        self.context_tokens = 0
        """Tokens of one sequence, prompt and answer together."""
        self._worker = Worker("model")
        self._queue_size = queue_size
        self._jobs: set[Job[Any]] = set()
        self._weights: Weights | None = None
        self._context: Context | None = None
        self._cache: KvCache | None = None
        self._decoder: Decoder | None = None
        self._embedder: Embedder | None = None
        self._batcher: Batcher | None = None
        self._chat: ChatTemplate | None = None

    async def load(
        self, path: Path, *, context_tokens: int, threads: int, embeddings: bool, sequences: int = 1
    ) -> None:
        """Loads the file and computes one token (or one embedding); only then can it be called ready.

        The cache holds `sequences` contexts of `context_tokens`; requests that need less share them.
        """
        digest = asyncio.create_task(asyncio.to_thread(sha256_of, path))
        begin = time.monotonic()
        await self._worker.call(lambda: self._load(path, context_tokens, sequences, threads, embeddings))
        _log.info("loaded %s and computed a first token in %.2f s", path.name, time.monotonic() - begin)
        self.sha256 = await digest

    def close(self) -> None:
        """Cancels what runs, ends the thread and frees the memory."""
        if self._batcher:
            self._worker.post(self._batcher.close)
        self._worker.close()
        for part in (self._context, self._embedder, self._weights):
            if part:
                part.close()

    @property
    def waiting(self) -> int:
        """Requests that have not begun."""
        return sum(1 for job in self._jobs if not job.started and not job.future.done())

    def load_now(self) -> Load:
        """What it works on, what waits, and what it has made."""
        active = sum(1 for job in self._jobs if job.started and not job.future.done())
        return Load(active, self.waiting, self.generated_tokens)

    @property
    def tokens_per_second(self) -> float:
        """Decoding speed of the last generation of at least 8 tokens."""
        return self._decoder.tokens_per_second if self._decoder else 0.0

    @property
    def generated_tokens(self) -> int:
        """Tokens drawn since the start, those of cancelled requests included."""
        return self._decoder.generated_tokens if self._decoder else 0

    @property
    def prefilled_tokens(self) -> int:
        """Tokens of prompts computed since the start, those of cancelled requests included."""
        return self._batcher.prefilled_tokens if self._batcher else 0

    @property
    def computed_batches(self) -> int:
        """Batches since the start; with `prefilled_tokens` and `generated_tokens`, how full they were."""
        return self._context.batches if self._context else 0

    @property
    def cache_tokens(self) -> int:
        """Tokens that the KV cache has room for."""
        return self._cache.size if self._cache else 0

    @property
    def taken_tokens(self) -> int:
        """Tokens of the KV cache that running requests have reserved or that are kept for later ones."""
        return self._cache.reserved + self._cache.kept if self._cache else 0

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
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        choice: Choice | None = None,
        drawn: deque[Drawn] | None = None,
    ) -> AsyncGenerator[str | Finished, None]:
        """Text as it is made, then one Finished. Closing the iterator stops the work after the current batch.

        `drawn` is appended each token with its log-probability, before its text comes.
        """
        self._require_text()
        decision = self._tokens_of(choice)
        least = len(decision.lead) + max((len(part) - 1 for part in decision.parts), default=0)
        allowed = min(self.prompt_limit, self.context_tokens - least - 1)
        if len(prompt) > allowed:
            raise PromptTooLongError(len(prompt), allowed, self.context_tokens)
        limit = min(sampling.max_tokens, self.context_tokens - len(prompt) - least)
        reserved = min(self.context_tokens, len(prompt) + limit + len(decision.lead) + cells_of(decision.parts))
        job: Job[Finished] = Job()
        task = Task(job, prompt, reserved, partial(self._generate, job, sampling, limit, decision, drawn))
        with self._submitted(task):
            async with aclosing(job.texts()) as texts:
                async for text in texts:
                    yield text
            yield await job.future

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
        prompts = [tokens[max(0, len(tokens) - room) :] for tokens in (baseline, prompt) if tokens is not None]
        job: Job[list[list[float]]] = Job()
        reserved = min(self.context_tokens, max(map(len, prompts)) + cells_of(parts))
        work = partial(self._require_decoder().score_after_each, prompts=prompts, parts=parts)
        with self._submitted(Task(job, prompts[0], reserved, work)):
            *against, values = await job.future
        scored = [
            Scored(text, values[index], len(parts[index]), against[0][index] if against else None)
            for index, text in enumerate(candidates)
        ]
        return Scores(scored, len(prompts[-1]) < len(prompt), len(prompts[-1]), job.queue_ms)

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """A text that is longer than the context is cut at its end."""
        embedder = self._embedder
        if embedder is None:
            raise NotOfferedError(f"{self.weights.name} makes no embeddings; allowed: llamaCpp.embeddings: true")
        job: Job[Embeddings] = Job()
        with self._submitted(Aside(job, _embed(embedder, job, texts))):
            return await job.future

    @contextmanager
    def _submitted(self, request: Task | Aside) -> Iterator[None]:
        """Inside, the owner's thread works on the request; who leaves before it has ended cancels it."""
        batcher, job = self._batcher, request.job
        assert batcher is not None, "load() comes first"
        if self.waiting >= self._queue_size + max(1, self.side_by_side):  # more than the thread can have looked at
            raise QueueFullError(self.waiting, 1.0)
        self._jobs.add(job)
        self._worker.post(lambda: batcher.submit(request))
        try:
            yield
        finally:
            self._jobs.discard(job)
            job.is_cancelled = True

    def _require_text(self) -> None:
        if not self.makes_text:
            raise NotOfferedError(f"{self.weights.name} makes embeddings only; allowed: Embed")

    def _require_decoder(self) -> Decoder:
        assert self._decoder is not None, "load() comes first"
        return self._decoder

    def _load(self, path: Path, context_tokens: int, sequences: int, threads: int, embeddings: bool) -> None:
        weights = self._weights = Weights(path)
        if weights.embeds_only or embeddings:
            self._embedder = Embedder(weights, context_tokens=context_tokens, threads=threads)
        if weights.embeds_only:
            self._embedder.embed("ready")  # type: ignore[union-attr] # made above
            self.context_tokens = self._embedder.size  # type: ignore[union-attr] # made above
        else:
            self.context_tokens = context_tokens
            self.side_by_side = min(MOST_SIDE_BY_SIDE, SIDE_BY_SIDE * sequences)
            self._open_context(weights, context_tokens * sequences, threads)
        self._batcher = Batcher(self._context, self._scheduler(), queue_size=self._queue_size)
        self._worker.step = self._batcher.step

    def _open_context(self, weights: Weights, pool_tokens: int, threads: int) -> None:
        ids = self.side_by_side + SPARE_SEQUENCES
        context = self._context = Context(weights, pool_tokens=pool_tokens, sequences=ids, threads=threads)
        self._cache = KvCache(context, size=pool_tokens, ids=ids, forks=SPARE_SEQUENCES, can_share=context.can_share)
        self._decoder = Decoder(context, self._cache)
        context.warm_up()

    def _scheduler(self) -> Scheduler[Task] | None:
        if self._cache is None:
            return None
        beside = beside_tokens(self.weights.size_bytes)
        return Scheduler(self._cache, side_by_side=self.side_by_side, beside=beside)

    def _generate(
        self,
        job: Job[Finished],
        sampling: Sampling,
        limit: int,
        decision: ChoiceTokens,
        drawn: deque[Drawn] | None,
        trunk: KvSequence,
    ) -> Steps:
        return self._require_decoder().generate(job, trunk, sampling, limit, decision, drawn)

    def _tokens_of(self, choice: Choice | None) -> ChoiceTokens:
        if choice is None:
            return ChoiceTokens()
        parts = [self.weights.tokens_of(f" {option}", begin=False, control=False) for option in choice.options]
        return ChoiceTokens(self.weights.tokens_of(choice.lead, begin=False, control=False), parts, choice.options)


def _embed(embedder: Embedder, job: Job[Embeddings], texts: Sequence[str]) -> Generator[None, None, Embeddings]:
    before = embedder.tokens
    vectors = []
    for text in texts:
        vectors.append(embedder.embed(text))
        yield
    return Embeddings(vectors, embedder.tokens - before, job.queue_ms)
