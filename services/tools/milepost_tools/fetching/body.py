"""The text of a response, read and unpacked within bounds."""

import re
import zlib
from collections.abc import Callable

import httpx2

from milepost_tools.errors import ToolError

MAX_BYTES = 1024 * 1024
_TEXT = re.compile(r"text/.+|application/(?:.+\+)?(?:json|xml|yaml)|application/(?:javascript|x-ndjson|graphql)")
_GZIP = 16 + zlib.MAX_WBITS


def check_content_type(response: httpx2.Response) -> str:
    """The content type without its parameters; ToolError unless it is one of text."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not _TEXT.fullmatch(kind):
        raise ToolError(f"{response.url} is {kind or 'of no content type'}; allowed: text, HTML, JSON, XML, YAML")
    return kind


async def read_text(response: httpx2.Response) -> str:
    """The text of a streamed response. ToolError beyond 1 MiB, packed or unpacked, and for what cannot be unpacked."""
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_BYTES:
        raise _too_large(response)
    data = bytearray()
    unpack = _unpacker(response)
    read = 0
    async for chunk in response.aiter_raw():
        read += len(chunk)
        data += unpack(chunk, MAX_BYTES + 1 - len(data))
        if max(read, len(data)) > MAX_BYTES:
            raise _too_large(response)
    encoding = response.charset_encoding or "utf-8"
    try:
        return data.decode(encoding, errors="replace")
    except LookupError:
        raise ToolError(f"{response.url} has the unknown character set {encoding!r}") from None


def _unpacker(response: httpx2.Response) -> Callable[[bytes, int], bytes]:
    """(chunk, limit) -> what it unpacks to, and no more than `limit` of it: a bomb is never in memory whole."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return lambda chunk, limit: chunk[:limit]
    if encoding not in ("gzip", "x-gzip"):
        raise ToolError(f"{response.url} is packed by {encoding}; allowed: gzip, or nothing")
    stream = zlib.decompressobj(_GZIP)

    def unpack(chunk: bytes, limit: int) -> bytes:
        try:
            return stream.decompress(chunk, limit)
        except zlib.error:
            raise ToolError(f"{response.url} is packed, and not by gzip as it says") from None

    return unpack


def _too_large(response: httpx2.Response) -> ToolError:
    return ToolError(f"{response.url} has more than {MAX_BYTES} bytes; allowed: {MAX_BYTES}")
