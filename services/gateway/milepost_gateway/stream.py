"""Server-sent events over ASGI."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from milepost_gateway.cursor import parse_cursor
from milepost_gateway.hub import Hub
from milepost_gateway.metrics import Metrics
from milepost_gateway.subscription import Subscription

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


class EventStream(Response):
    """Sends pieces until the client goes away or the gateway closes; a client that is slow is waited for."""

    def __init__(self, hub: Hub, metrics: Metrics, cursor: dict[str, int], run_id: str) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._hub, self._metrics = hub, metrics
        self._cursor, self._run_id = cursor, run_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._hub.client() as wake:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            pieces = Subscription(self._hub, wake, self._metrics, self._cursor, self._run_id).pieces()
            tasks = [
                asyncio.create_task(_send_all(pieces, send)),
                asyncio.create_task(_gone(receive)),
                asyncio.create_task(_set(self._hub.closing)),
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        if tasks[0] in done:
            tasks[0].result()
        with contextlib.suppress(OSError):
            await send({"type": "http.response.body", "body": b""})


async def _send_all(pieces: AsyncGenerator[bytes, None], send: Send) -> None:
    async with aclosing(pieces):
        async for piece in pieces:
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _set(event: asyncio.Event) -> None:
    await event.wait()


def cursor_of(request: Request) -> dict[str, int]:
    """Where a client wants to go on: what its browser says counts more than the address of the page."""
    return parse_cursor(request.headers.get("last-event-id") or request.query_params.get("cursor", ""))
