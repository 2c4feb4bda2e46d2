"""The HTTP client under the requests: no redirects, no retries, bounded answers, and only what we send it."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx2
import openai

from milepost_crds import OpenAI
from milepost_model.errors import EngineError
from milepost_service.errors import ConfigurationError

ANSWER_BYTES = 64 * 1024 * 1024
"""Most bytes of one answer, as they come over the wire."""
_CONNECT_SECONDS = 10.0


class AnswerTooLargeError(EngineError):
    """The server sends more than any answer takes."""


def server_name(spec: OpenAI) -> str:
    """Host and port, for messages. ConfigurationError when the URL carries a password or a query."""
    parts = urlsplit(spec.base_url)
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("spec.openAI.baseURL: holds a user name or password; allowed: spec.openAI.secretRef")
    if parts.query or parts.fragment:
        raise ConfigurationError("spec.openAI.baseURL: holds a query or fragment; allowed: scheme, host, port and path")
    return parts.netloc


def open_client(spec: OpenAI, *, idle_seconds: float, connections: int) -> openai.AsyncOpenAI:
    """A client that sends no key by itself, whatever the environment holds: each request brings its own headers.

    `idle_seconds` is how long the server may be silent, `connections` how many it may have at most.
    """
    timeout = openai.Timeout(idle_seconds, connect=min(_CONNECT_SECONDS, idle_seconds), pool=None)
    http = openai.DefaultAsyncHttpxClient(
        timeout=timeout,
        follow_redirects=False,
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        event_hooks={"response": [_bound]},
    )
    return openai.AsyncOpenAI(
        base_url=spec.base_url,
        api_key="",
        admin_api_key="",
        webhook_secret="",
        max_retries=0,
        timeout=timeout,
        http_client=http,
        default_headers={"User-Agent": "milepost", "Accept-Encoding": "identity"},
    )


def headers_with(key: str) -> dict[str, str | openai.Omit]:
    """What a request sends besides its body: the key, or no key, and nothing that the environment would add."""
    omitted = openai.Omit()
    return {
        "Authorization": f"Bearer {key}" if key else omitted,
        "OpenAI-Organization": omitted,
        "OpenAI-Project": omitted,
    }


async def _bound(response: httpx2.Response) -> None:
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    """Ends with AnswerTooLargeError instead of filling the memory."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._stream:
            size += len(part)
            if size > ANSWER_BYTES:
                raise AnswerTooLargeError(f"the server sends more than {ANSWER_BYTES} bytes in one answer")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
