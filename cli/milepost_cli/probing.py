"""How a process of local mode is asked whether it serves: by the health service of gRPC, or over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Probe = Literal["grpc", "http"]
Ask = Callable[[], Awaitable[bool]]
TIMEOUT = 2.0  # seconds
CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 250),
)
HTTP_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HTTP_OK = b"HTTP/1.1 200 "


@contextlib.asynccontextmanager
async def asking(target: str, probe: Probe) -> AsyncIterator[Ask]:
    """What tells whether the process at `target` serves now."""
    if probe == "http":
        yield lambda: _serves_http(target)
        return
    async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        yield lambda: _serves_grpc(stub)


async def _serves_grpc(stub: health_pb2_grpc.HealthStub) -> bool:
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
    except grpc.aio.AioRpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def _serves_http(target: str) -> bool:
    host, _, port = target.rpartition(":")
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(HTTP_REQUEST)
                return (await reader.readexactly(len(HTTP_OK))) == HTTP_OK
            finally:
                writer.close()
    except (OSError, TimeoutError, EOFError):
        return False
