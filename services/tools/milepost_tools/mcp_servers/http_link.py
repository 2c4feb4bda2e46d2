"""Streamable HTTP with answers of a bounded size."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import TracebackType

import httpx2
from mcp.client.streamable_http import streamable_http_client

from milepost_tools.mcp_servers import MAX_MESSAGE_BYTES
from milepost_tools.mcp_servers.link import Link, Streams

_CONNECT_SECONDS = 10.0
_SILENT_SECONDS = 300.0  # a server may keep a stream open on which nothing comes
_EVENTS = "text/event-stream"


class HttpLink(Link):
    """Requests to the URL of the manifest and, in redirects, to its own origin. Proxies are not used."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Streams:
        client = httpx2.AsyncClient(
            transport=_BoundedTransport(),
            headers={"Accept-Encoding": "identity", "User-Agent": "milepost-tools"},
            timeout=httpx2.Timeout(_SILENT_SECONDS, connect=_CONNECT_SECONDS),
            trust_env=False,
        )
        await self._stack.enter_async_context(client)
        streams = streamable_http_client(self._url, http_client=client, max_sse_event_size=MAX_MESSAGE_BYTES)
        return await self._stack.enter_async_context(streams)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)


class MessageTooLarge(httpx2.StreamError):
    """More bytes came than a message may have; the SDK makes it the answer to the request."""


class _BoundedTransport(httpx2.AsyncBaseTransport):
    """Bodies are bounded while they are read; the SDK bounds each event of a stream of events."""

    def __init__(self) -> None:
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.DecodingError("the answer is packed, and was asked for as it is", request=request)
        if not response.headers.get("content-type", "").startswith(_EVENTS):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _BoundedStream(response.stream)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._stream:
            read += len(chunk)
            if read > MAX_MESSAGE_BYTES:
                raise MessageTooLarge(f"the answer has more than {MAX_MESSAGE_BYTES} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
