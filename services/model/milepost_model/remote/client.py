"""Requests to the server: tried again where that may help, and their answers read as what they must be."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeVar

import openai

from milepost_crds import OpenAI
from milepost_model.remote.answers import Answer, Chunk, wrong_answer
from milepost_model.remote.attempts import Attempts
from milepost_model.remote.failures import Server, ServerError
from milepost_model.remote.key import ApiKey
from milepost_model.remote.transport import headers_with, open_client, server_name

Body = Mapping[str, Any]
AnswerT = TypeVar("AnswerT", bound=Answer)
_Events = openai.AsyncStream[object]
_EVENT_STREAM = "text/event-stream"


class RemoteClient:
    """One server and one model. Failures are ServiceErrors of one line, none of which holds the key.

    A `deadline` is a time of the monotonic clock, after which nothing is tried again.
    """

    def __init__(self, spec: OpenAI, key: ApiKey, attempts: Attempts, *, idle_seconds: float, connections: int) -> None:
        self.server = Server(server_name(spec), spec.model, key)
        self.attempts = attempts
        self._key = key
        self._client = open_client(spec, idle_seconds=idle_seconds, connections=connections)

    async def close(self) -> None:
        await self._client.close()

    async def get(self, path: str, read_as: type[AnswerT]) -> AnswerT:
        """One attempt, for looking whether the server is there."""
        with self._translated():
            data = await self._client.get(path, cast_to=object, options={"headers": headers_with(self._key.read())})
        return read_as.of(data, self.server.name)

    async def post(self, path: str, body: Body, read_as: type[AnswerT], deadline: float) -> AnswerT:
        """The whole answer."""
        return await self.attempts.run(partial(self.post_once, path, body, read_as), deadline)

    async def post_once(self, path: str, body: Body, read_as: type[AnswerT]) -> AnswerT:
        """The whole answer to one attempt."""
        with self._translated():
            data = await self._client.post(
                path, body=body, cast_to=object, options={"headers": headers_with(self._key.read())}
            )
        return read_as.of(data, self.server.name)

    async def stream(self, path: str, body: Body, deadline: float) -> AsyncGenerator[Chunk, None]:
        """The answer in the parts in which it comes. Until the first text has come, failures are tried again.

        Closing the iterator closes the connection, so that the server stops.
        """
        begun = await self.attempts.run(partial(self._begin, path, body), deadline)
        async with begun.closing():
            for chunk in begun.first:
                yield chunk
            try:
                async for chunk in begun.rest:
                    yield chunk
            except ServerError as error:
                raise self.server.unavailable(f"broke off in the middle of its answer: {error}") from None

    async def _begin(self, path: str, body: Body) -> "_Begun":
        with self._translated():
            events = await self._client.post(
                path,
                body=body,
                cast_to=object,
                options={"headers": headers_with(self._key.read())},
                stream=True,
                stream_cls=_Events,
            )
        begun = _Begun(events, self._chunks(events))
        try:
            self._require_events(events)
            await begun.read_first()
        except BaseException:
            async with begun.closing():
                raise
        return begun

    def _require_events(self, events: _Events) -> None:
        kind = events.response.headers.get("content-type", _EVENT_STREAM)
        if not kind.startswith(_EVENT_STREAM):
            raise wrong_answer(self.server.name, "a stream of events was asked for", kind)

    async def _chunks(self, events: _Events) -> AsyncGenerator[Chunk, None]:
        """Raises ServerError also where the connection ends as if all were well, without the end of the answer."""
        is_finished = False
        with self._translated():
            async for data in events:
                chunk = Chunk.of(data, self.server.name)
                is_finished = is_finished or any(choice.finish_reason for choice in chunk.choices)
                yield chunk
        if not is_finished:
            raise self.server.unavailable("ended its answer without saying that it is whole")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except openai.APIError as error:
            raise self.server.failure(error) from None
        except ValueError as error:  # what is no JSON, or no text
            raise wrong_answer(self.server.name, "no JSON", error) from None


class _Begun:
    """A stream whose first text has come."""

    def __init__(self, events: _Events, rest: AsyncGenerator[Chunk, None]) -> None:
        self.first: list[Chunk] = []
        self.rest = rest
        self._events = events

    async def read_first(self) -> None:
        async for chunk in self.rest:
            self.first.append(chunk)
            if any(choice.added or choice.finish_reason for choice in chunk.choices):
                return

    @asynccontextmanager
    async def closing(self) -> AsyncIterator[None]:
        try:
            async with aclosing(self.rest):
                yield
        finally:
            await self._events.close()
