"""A ModelService as another service uses it: text, and decisions among given choices."""

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass

import grpc
import grpc.aio
from opentelemetry import trace

from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_service.calls import inner_call_metadata
from milepost_service.channels import open_channel, unresolved
from milepost_service.errors import RemoteError, ServiceError, UnavailableError
from milepost_service.interceptors import rpc_attributes
from milepost_service.telemetry import tracer
from milepost_service.telemetry.conventions import Attributes

ChatMessages = Sequence[tuple[str, str]]
"""(role, content); roles are system, user and assistant."""

_SERVICE = "milepost.model.v1.ModelService"
_PASSED_OVER = 16
"""Ids that may be passed over because the outer call, when it was worked on before, used them to ask otherwise."""
_RESERVE_SECONDS = 0.05  # so that the callee's deadline passes before ours, and its answer is the one reported


@dataclass(frozen=True)
class Decision:
    """The chosen option and the probability of each, which sum to 1, in the order they were given."""

    option: str
    probabilities: tuple[float, ...]


class ModelClient:
    """Calls one ModelService. Its refusals are raised as RemoteError, its absence as UnavailableError."""

    def __init__(self, name: str, target: str) -> None:
        self._name = name
        self._target = target
        self._closing: set[asyncio.Task[None]] = set()
        self._open()

    async def close(self) -> None:
        await asyncio.gather(self._channel.close(), *self._closing)

    def _open(self) -> None:
        self._channel = open_channel(self._target)
        self._stub = model_pb2_grpc.ModelServiceStub(self._channel)

    def _reopen(self) -> None:
        closing = asyncio.create_task(self._channel.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self._open()

    async def context_tokens(self, *, timeout: float) -> int:
        """Tokens that prompt and answer may have together."""
        try:
            described = await self._stub.DescribeModel(model_pb2.DescribeModelRequest(), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise self._as_service_error(error) from None
        return described.context_tokens

    async def generate(
        self,
        messages: ChatMessages,
        *,
        max_tokens: int,
        timeout: float,
        json_schema: str = "",
        temperature: float | None = None,
    ) -> AsyncGenerator[str | model_pb2.GenerateResult, None]:
        """Text as it is made, then the result. Closing the iterator cancels the call.

        With `json_schema` the text is JSON of that schema, cut off where it is longer than `max_tokens`.
        `temperature` None is the service's own.
        """
        sampling = model_pb2.Sampling(max_tokens=max_tokens, temperature=temperature)
        request = model_pb2.GenerateRequest(chat=_chat(messages), sampling=sampling, json_schema=json_schema)
        with self._span("Generate") as span:
            for left in reversed(range(_PASSED_OVER)):
                with trace.use_span(span):
                    call = self._stub.Generate(
                        request, timeout=max(0.0, timeout - _RESERVE_SECONDS), metadata=inner_call_metadata()
                    )
                try:
                    async for response in call:
                        yield response.delta if response.WhichOneof("event") == "delta" else response.result
                    return
                except grpc.aio.AioRpcError as error:
                    if not (left and _is_taken(error)):
                        raise self._as_service_error(error) from None
                finally:
                    call.cancel()

    async def choose(self, messages: ChatMessages, options: Sequence[str], *, timeout: float) -> Decision:
        """The option that the model finds likeliest as its answer: always one of them."""
        request = model_pb2.ScoreRequest(chat=_chat(messages), candidates=options)
        answer = await self._score(request, max(0.0, timeout - _RESERVE_SECONDS))
        values = [candidate.log_probability for candidate in answer.candidates]
        weights = [math.exp(value - max(values)) for value in values]
        probabilities = tuple(weight / sum(weights) for weight in weights)
        return Decision(options[probabilities.index(max(probabilities))], probabilities)

    async def _score(self, request: model_pb2.ScoreRequest, timeout: float) -> model_pb2.ScoreResponse:
        with self._span("Score") as span, trace.use_span(span, record_exception=False, set_status_on_exception=False):
            for left in reversed(range(_PASSED_OVER)):
                try:
                    return await self._stub.Score(request, timeout=timeout, metadata=inner_call_metadata())
                except grpc.aio.AioRpcError as error:
                    if not (left and _is_taken(error)):
                        raise self._as_service_error(error) from None
        raise AssertionError("the last failure is raised")

    @contextlib.contextmanager
    def _span(self, method: str) -> Iterator[trace.Span]:
        """A client span for one call. It is no current span: what the consumer does meanwhile is no part of it."""
        name = f"{_SERVICE}/{method}"
        attributes = {**rpc_attributes(name), Attributes.SERVER_ADDRESS: self._target, Attributes.SERVICE: self._name}
        span = tracer().start_span(name, kind=trace.SpanKind.CLIENT, attributes=attributes)
        try:
            yield span
        except ServiceError as error:
            span.set_attribute(Attributes.ERROR_TYPE, error.code)
            span.set_status(trace.StatusCode.ERROR, str(error))
            raise
        finally:
            span.end()

    def _as_service_error(self, error: grpc.aio.AioRpcError) -> RemoteError | UnavailableError:
        if unresolved(error):
            self._reopen()
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            return UnavailableError(
                f"the model service {self._name} at {self._target} cannot be reached: {error.details()}",
                retry_after=1.0,
            )
        return RemoteError(error.code().name, f"model service {self._name}: {error.details()}")


def _is_taken(error: grpc.aio.AioRpcError) -> bool:
    return error.code() == grpc.StatusCode.ALREADY_EXISTS


def _chat(messages: ChatMessages) -> model_pb2.ChatInput:
    return model_pb2.ChatInput(
        messages=[model_pb2.ChatMessage(role=role, content=content) for role, content in messages]
    )
