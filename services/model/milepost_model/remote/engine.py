"""A model behind a URL as callers in an event loop see it: generate, choose, score, embed."""

import json
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from milepost_crds import OpenAI
from milepost_model.remote.admission import Admission
from milepost_model.remote.answers import Vectors, wrong_answer
from milepost_model.remote.asking import CHAT, COMPLETIONS, EMBEDDINGS, Asking, Taken, messages_of
from milepost_model.remote.attempts import FIRST_PAUSE, Attempts
from milepost_model.remote.choosing import Chooser, Weights
from milepost_model.remote.client import RemoteClient
from milepost_model.remote.echoing import echoed
from milepost_model.remote.key import ApiKey
from milepost_model.remote.streaming import ComingAnswer
from milepost_model.remote.tokens import estimated_chat_tokens, estimated_tokens
from milepost_model.requests import Turn
from milepost_model.results import Embeddings, Finished, Scored, Scores
from milepost_model.sampling import Sampling
from milepost_service.errors import FailedPreconditionError, InvalidArgumentError
from milepost_service.usage import Load

Prompt = Sequence[Turn] | str
"""A chat, or a text that is taken as it is."""
ASSUMED_CONTEXT_TOKENS = 32_768
"""Where neither the resource nor the server tells."""
_SCHEMA_BYTES = 64 * 1024
_MEASURED_TOKENS = 8
"""An answer of fewer says nothing about speed."""
_MS = 1000


@dataclass(frozen=True)
class Limits:
    """`queue_size` requests may wait; the server may be silent for `idle_seconds`; retries begin with `first_pause`."""

    queue_size: int = 16
    idle_seconds: float = 60.0
    first_pause: float = FIRST_PAUSE


class RemoteEngine:
    """One model of one server. A `deadline` is a time of the monotonic clock; failures are ServiceErrors."""

    def __init__(self, spec: OpenAI, key: ApiKey, limits: Limits) -> None:
        self.model = spec.model
        self.concurrency = spec.concurrency
        self.context_tokens = spec.context_tokens or 0
        """Tokens of prompt and answer together; 0 until somebody tells."""
        self.embedding_size = 0
        """Length of an embedding; 0 until one was made."""
        self.tokens_per_second = 0.0
        """Of the last answer of at least 8 tokens, as it came."""
        self.embedded_tokens = 0
        self.attempts = Attempts(first_pause=limits.first_pause)
        self.admission = Admission(spec.concurrency, limits.queue_size)
        connections = spec.concurrency + 1  # one more to look whether the server is there
        self.client = RemoteClient(spec, key, self.attempts, idle_seconds=limits.idle_seconds, connections=connections)
        self.asking = Asking(self.client, self.admission, spec.model)
        self._chooser = Chooser(self.asking)

    async def close(self) -> None:
        await self.client.close()

    def load_now(self) -> Load:
        """What it works on, what waits, and what it has made."""
        return Load(self.admission.active, self.admission.waiting, self.asking.generated_tokens)

    def learn_context(self, tokens: int) -> None:
        """What the server says of its context counts where the resource says nothing."""
        self.context_tokens = self.context_tokens or tokens

    async def generate(
        self, prompt: Prompt, sampling: Sampling, deadline: float, schema: str = ""
    ) -> AsyncGenerator[str | Finished, None]:
        """Text as it comes, then one Finished. Closing the iterator closes the connection to the server.

        With a JSON schema an answer that ends by itself is JSON, or the call fails: a server may pass over what it
        does not know.
        """
        answer = ComingAnswer(self.asking.server.name, _estimated(prompt))
        path, body = _input(prompt)
        body |= _sampled(sampling) | _held_to(schema)
        chunks = self.asking.stream(path, body, answer.taken, deadline, max_tokens=sampling.max_tokens)
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    if text := answer.take(chunk):
                        yield text
        finally:
            self.asking.count(answer.counted(), answer.taken)
        if schema and answer.reason == "stop":
            self._require_json(answer.text)
        finished = answer.finished()
        if finished.completion_tokens >= _MEASURED_TOKENS and finished.tokens_per_second:
            self.tokens_per_second = finished.tokens_per_second
        yield finished

    async def choose(self, turns: Sequence[Turn], options: Sequence[str], deadline: float) -> tuple[str, Taken]:
        """The likeliest option as the answer to the chat, and what it took."""
        taken = Taken()
        weights = await self._chooser.weigh(turns, options, taken, deadline)
        return weights.likeliest, taken

    async def score(
        self, prompt: Prompt, candidates: Sequence[str], deadline: float, baseline: Sequence[Turn] | None = None
    ) -> Scores:
        """Candidates as answers, normalised: their probabilities sum to 1, and each counts as one token.

        A raw prompt without a baseline is continued by each of them where the server can tell that: then their
        log-probabilities are as they are, over as many tokens as it makes of them.
        """
        taken = Taken()
        items = None
        if isinstance(prompt, str) and baseline is None:
            items = await echoed(self.asking, prompt, candidates, taken, deadline)
        if items is None:
            turns = [Turn("user", prompt)] if isinstance(prompt, str) else prompt
            weights = await self._chooser.weigh(turns, candidates, taken, deadline, baseline)
            items = [_scored(weights, candidate) for candidate in candidates]
        return Scores(items, False, taken.prompt_tokens, taken.queue_seconds * _MS)

    async def embed(self, texts: Sequence[str], deadline: float) -> Embeddings:
        """A vector for each text, made to have length one."""
        taken = Taken()
        body = {"input": list(texts), "encoding_format": "float"}
        answer = await self.asking.whole(EMBEDDINGS, body, Vectors, taken, deadline, max_tokens=0)
        by_index = {vector.index: vector.embedding for vector in answer.data}
        sizes = {len(vector) for vector in by_index.values()}
        if by_index.keys() != set(range(len(texts))) or len(sizes) != 1:
            raise wrong_answer(self.asking.server.name, f"{len(texts)} vectors of one length were asked for", sizes)
        self.embedding_size = sizes.pop()
        own = Taken()
        own.add(answer.usage, sum(map(estimated_tokens, texts)), "")
        self.embedded_tokens += own.prompt_tokens
        vectors = [_of_length_one(by_index[index]) for index in range(len(texts))]
        return Embeddings(vectors, own.prompt_tokens, taken.queue_seconds * _MS)

    def _require_json(self, text: str) -> None:
        try:
            json.loads(text)
        except ValueError:
            raise FailedPreconditionError(
                f"{self.asking.server.name} did not hold the answer to json_schema; allowed: a server that knows "
                "response_format"
            ) from None


def _estimated(prompt: Prompt) -> int:
    return estimated_tokens(prompt) if isinstance(prompt, str) else estimated_chat_tokens(prompt)


def _input(prompt: Prompt) -> tuple[str, dict[str, Any]]:
    if isinstance(prompt, str):
        return COMPLETIONS, {"prompt": prompt}
    return CHAT, {"messages": messages_of(prompt)}


def _sampled(sampling: Sampling) -> dict[str, Any]:
    """What is at its default is left out: some servers refuse even to be told."""
    body: dict[str, Any] = {"temperature": sampling.temperature}
    if sampling.top_p != 1:
        body["top_p"] = sampling.top_p
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    return body


def _held_to(schema: str) -> dict[str, Any]:
    if not schema:
        return {}
    if len(schema.encode()) > _SCHEMA_BYTES:
        raise InvalidArgumentError(f"json_schema: has {len(schema.encode())} bytes; allowed: {_SCHEMA_BYTES}")
    try:
        parsed = json.loads(schema)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"json_schema: is not JSON ({error}); allowed: a JSON schema") from None
    if not isinstance(parsed, dict):
        raise InvalidArgumentError("json_schema: is no JSON object; allowed: a JSON schema")
    wanted = {"name": "answer", "strict": True, "schema": parsed}
    return {"response_format": {"type": "json_schema", "json_schema": wanted}}


def _scored(weights: Weights, candidate: str) -> Scored:
    return Scored(candidate, weights.by_option[candidate], 1, weights.baseline.get(candidate))


def _of_length_one(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]
