"""The two faces of a model: ModelService (tokens) and CapabilityService (a role's work)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from milepost.capability.v1 import capability_pb2
from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_crds import ModelService
from milepost_model.engine import Engine
from milepost_model.json_schema import grammar_of
from milepost_model.prompt import answer_room, choice_of, fit
from milepost_model.requests import Turn, chat_turns, checked_candidates, checked_texts
from milepost_model.responses import embedded, generated, invoked, operation_of, scored
from milepost_model.sampler import Sampler
from milepost_model.sampling import Sampling, sampling_of
from milepost_model.spans import model_span, tell_embeddings, tell_finished, tell_scores
from milepost_service.servicer import Answer, check_prompt
from milepost_service.telemetry.conventions import Operations


class ModelServicer(model_pb2_grpc.ModelServiceServicer):
    """Generate, Score, Embed and DescribeModel over one engine."""

    def __init__(self, engine: Engine, resource: ModelService, *, threads: int) -> None:
        self._engine = engine
        self._resource = resource
        self._threads = threads

    async def DescribeModel(
        self, request: model_pb2.DescribeModelRequest, context: Any
    ) -> model_pb2.DescribeModelResponse:
        engine = self._engine
        return model_pb2.DescribeModelResponse(
            model=engine.weights.name,
            sha256=engine.sha256,
            size_bytes=engine.weights.file_bytes,
            context_tokens=engine.context_tokens,
            threads=self._threads,
            sequences=max(1, engine.side_by_side),
            chat=engine.makes_text and engine.weights.chat_template is not None,
            embeddings=engine.embedding_size > 0,
            embedding_size=engine.embedding_size,
            kv_bytes_per_token=engine.kv_bytes_per_token,
        )

    async def Generate(
        self, request: model_pb2.GenerateRequest, context: Any
    ) -> AsyncIterator[model_pb2.GenerateResponse]:
        sampling = sampling_of(request.sampling, self._resource)
        if request.json_schema:
            sampling = await asyncio.to_thread(self._held_to, request.json_schema, sampling)
        prompt = await self._prompt_of(request)
        model = self._engine.weights.name
        with model_span(operation_of(request), model, sampling) as span:
            async with aclosing(self._engine.generate(prompt, sampling)) as items:
                async for item in items:
                    if isinstance(item, str):
                        yield model_pb2.GenerateResponse(delta=item)
                        continue
                    tell_finished(span, item)
                    yield model_pb2.GenerateResponse(result=generated(item))

    async def Score(self, request: model_pb2.ScoreRequest, context: Any) -> model_pb2.ScoreResponse:
        candidates = checked_candidates(request)
        prompt = await self._prompt_of(request)
        baseline = await self._tokens_of(request.baseline) if request.HasField("baseline") else None
        with model_span(operation_of(request), self._engine.weights.name) as span:
            scores = await self._engine.score(prompt, candidates, baseline)
            tell_scores(span, scores)
        return scored(scores)

    async def Embed(self, request: model_pb2.EmbedRequest, context: Any) -> model_pb2.EmbedResponse:
        texts = checked_texts(request)
        with model_span(Operations.EMBEDDINGS, self._engine.weights.name) as span:
            embeddings = await self._engine.embed(texts)
            tell_embeddings(span, embeddings)
        return embedded(embeddings)

    def _held_to(self, schema: str, sampling: Sampling) -> Sampling:
        held = replace(sampling, grammar=grammar_of(schema))
        Sampler(self._engine.weights, held).close()  # llama.cpp has its own word on it, before the request waits
        return held

    async def _prompt_of(self, request: model_pb2.GenerateRequest | model_pb2.ScoreRequest) -> list[int]:
        """Tokens of the request's input; tokenising a long one takes a while, so not in the event loop."""
        if request.WhichOneof("input") == "chat":
            return await self._tokens_of(request.chat)
        check_prompt(request.prompt)
        return await asyncio.to_thread(self._engine.raw_tokens, request.prompt)

    async def _tokens_of(self, chat: model_pb2.ChatInput) -> list[int]:
        return await asyncio.to_thread(self._engine.chat.tokens_of, chat_turns(chat.messages))


def answer_with(engine: Engine, resource: ModelService) -> Answer:
    """Invoke in a role: the role's chat, streamed; then the verdict, when one is asked for, by constrained choice."""

    async def answer(
        request: capability_pb2.InvokeRequest, seconds_left: float
    ) -> AsyncGenerator[str | capability_pb2.InvokeResult, None]:
        prompt = await asyncio.to_thread(_fitted, engine, resource, request)
        sampling = sampling_of(model_pb2.Sampling(max_tokens=request.max_tokens), resource)
        items = engine.generate(prompt, sampling, choice_of(request.verdicts))
        with model_span(Operations.CHAT, engine.weights.name, sampling) as span:
            async with aclosing(items):
                async for item in items:
                    if isinstance(item, str):
                        yield item
                        continue
                    tell_finished(span, item)
                    yield invoked(item)

    return answer


def details_of(engine: Engine, *, threads: int) -> Mapping[str, str]:
    """Facts about the engine for people."""
    return {
        "model": engine.weights.name,
        "contextTokens": str(engine.context_tokens),
        "threads": str(threads),
        "sequences": str(max(1, engine.side_by_side)),
        "weightsBytes": str(engine.weights.size_bytes),
        "tokensPerSecond": f"{engine.tokens_per_second:.1f}",
        "generatedTokens": str(engine.generated_tokens),
        "prefilledTokens": str(engine.prefilled_tokens),
        "waiting": str(engine.waiting),
    }


def _fitted(engine: Engine, resource: ModelService, request: capability_pb2.InvokeRequest) -> list[int]:
    chat = engine.chat

    def count(turns: Sequence[Turn]) -> int:
        return len(chat.tokens_of(turns))

    room = answer_room(engine.context_tokens, request.max_tokens or resource.spec.generation.max_tokens)
    limit = engine.prompt_limit - room
    system_prompt = resource.spec.system_prompt
    return chat.tokens_of(fit(request, system_prompt, count, limit=limit, context_tokens=engine.context_tokens))
