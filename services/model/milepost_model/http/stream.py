"""Server-sent events: JSON objects as they come, then `[DONE]`."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from milepost_model.http.errors import refusal, stopping
from milepost_service.errors import ServiceError

STALL_SECONDS = 60.0
"""How long a client may take no byte of an answer before its connection is given up."""
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
T = TypeVar("T")

_log = logging.getLogger(__name__)

Chunk = Mapping[str, Any]


async def begun(chunks: AsyncGenerator[Chunk, None]) -> "EventStream":
    """A stream whose first chunk is there: what is refused before is an answer with a status of its own."""
    try:
        first = await anext(chunks)
    except BaseException:
        await chunks.aclose()
        raise
    return EventStream(first, chunks)


class EventStream(Response):
    """Sends chunks until the client goes away, which ends their source. A client that is slow is waited for."""

    def __init__(self, first: Chunk, further: AsyncGenerator[Chunk, None]) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._first, self._further = first, further

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._further):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            try:
                await until_gone(receive, self._send_all(send))
            except OSError:  # the client has gone
                return
            except asyncio.CancelledError:  # by the process that stops, which waits for this
                await _end(send, _event(stopping().to_json()))

    async def _send_all(self, send: Send) -> None:
        async for event in self._events():
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    await send({"type": "http.response.body", "body": event, "more_body": True})
            except TimeoutError:
                _log.warning("a client took nothing for %.0f s; its stream is given up", STALL_SECONDS)
                raise ConnectionAbortedError from None
        await _end(send)

    async def _events(self) -> AsyncIterator[bytes]:
        yield _event(self._first)
        try:
            async for chunk in self._further:
                yield _event(chunk)
        except ServiceError as error:
            yield _event(refusal(error).to_json())
            return
        yield b"data: [DONE]\n\n"


async def until_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What the work gives. ConnectionAbortedError when the client has gone before; then the work is ended."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ConnectionAbortedError
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _end(send: Send, last: bytes = b"") -> None:
    await send({"type": "http.response.body", "body": last})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(chunk: Chunk) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
