"""ModelService over a model behind a URL."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_crds import ModelService
from milepost_model.remote.engine import ASSUMED_CONTEXT_TOKENS, Prompt, RemoteEngine
from milepost_model.requests import chat_turns, checked_candidates, checked_texts
from milepost_model.responses import embedded, generated, operation_of, scored
from milepost_model.sampling import sampling_of
from milepost_model.spans import model_span, tell_embeddings, tell_finished, tell_scores
from milepost_service.servicer import check_prompt
from milepost_service.telemetry.conventions import REMOTE_PROVIDER, Operations

LONGEST_CALL_SECONDS = 600.0
"""Until nothing is tried again, for a caller that gives no deadline."""


class RemoteModelServicer(model_pb2_grpc.ModelServiceServicer):
    """Generate, Score, Embed and DescribeModel over one engine."""

    def __init__(self, engine: RemoteEngine, resource: ModelService) -> None:
        self._engine = engine
        self._resource = resource

    async def DescribeModel(
        self, request: model_pb2.DescribeModelRequest, context: Any
    ) -> model_pb2.DescribeModelResponse:
        """What is known: `sha256` and sizes are the server's own matter, an embedding's length shows with the first."""
        return model_pb2.DescribeModelResponse(
            model=self._engine.model,
            context_tokens=self._engine.context_tokens or ASSUMED_CONTEXT_TOKENS,
            sequences=self._engine.concurrency,
            chat=True,
            embeddings=self._engine.embedding_size > 0,
            embedding_size=self._engine.embedding_size,
        )

    async def Generate(
        self, request: model_pb2.GenerateRequest, context: Any
    ) -> AsyncIterator[model_pb2.GenerateResponse]:
        sampling = sampling_of(request.sampling, self._resource)
        prompt, engine = _prompt_of(request), self._engine
        with model_span(operation_of(request), engine.model, sampling, provider=REMOTE_PROVIDER) as span:
            items = engine.generate(prompt, sampling, _deadline(context), request.json_schema)
            async with aclosing(items):
                async for item in items:
                    if isinstance(item, str):
                        yield model_pb2.GenerateResponse(delta=item)
                        continue
                    tell_finished(span, item)
                    yield model_pb2.GenerateResponse(result=generated(item))

    async def Score(self, request: model_pb2.ScoreRequest, context: Any) -> model_pb2.ScoreResponse:
        candidates = checked_candidates(request)
        prompt = _prompt_of(request)
        baseline = chat_turns(request.baseline.messages) if request.HasField("baseline") else None
        with model_span(operation_of(request), self._engine.model, provider=REMOTE_PROVIDER) as span:
            scores = await self._engine.score(prompt, candidates, _deadline(context), baseline)
            tell_scores(span, scores)
        return scored(scores)

    async def Embed(self, request: model_pb2.EmbedRequest, context: Any) -> model_pb2.EmbedResponse:
        texts = checked_texts(request)
        with model_span(Operations.EMBEDDINGS, self._engine.model, provider=REMOTE_PROVIDER) as span:
            embeddings = await self._engine.embed(texts, _deadline(context))
            tell_embeddings(span, embeddings)
        return embedded(embeddings)


def details_of(engine: RemoteEngine, problem: str) -> Mapping[str, str]:
    """Facts about the engine for people; `problem` is why it is not ready."""
    details = {
        "model": engine.model,
        "server": engine.asking.server.name,
        "contextTokens": str(engine.context_tokens or ASSUMED_CONTEXT_TOKENS),
        "sequences": str(engine.concurrency),
        "tokensPerSecond": f"{engine.tokens_per_second:.1f}",
        "generatedTokens": str(engine.asking.generated_tokens),
        "waiting": str(engine.admission.waiting),
        "retries": str(engine.attempts.retries.total()),
        "usage": "estimated, for want of the server's" if engine.asking.estimated else "as the server counts",
    }
    return details | ({"problem": problem} if problem else {})


def _prompt_of(request: model_pb2.GenerateRequest | model_pb2.ScoreRequest) -> Prompt:
    if request.WhichOneof("input") == "chat":
        return chat_turns(request.chat.messages)
    check_prompt(request.prompt)
    return request.prompt


def _deadline(context: Any) -> float:
    """As a time of the monotonic clock."""
    left: float | None = context.time_remaining()
    return time.monotonic() + (LONGEST_CALL_SECONDS if left is None else left)
