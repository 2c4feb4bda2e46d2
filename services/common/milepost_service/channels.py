"""Channels to other Milepost processes."""

import os

import grpc.aio

from milepost_service.interceptors import StreamContextInterceptor, UnaryContextInterceptor

# The system's own resolver knows /etc/hosts, search paths and every kind of name service; gRPC's does not.
os.environ.setdefault("GRPC_DNS_RESOLVER", "native")
if os.environ.get("MILEPOST_LOG_FORMAT") == "json":
    # gRPC's core writes lines of its own to file descriptor 2, and nothing that Python does not hear of as well.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

MESSAGE_BYTES = 16 * 1024 * 1024
SIZE_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
)
_CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    *SIZE_OPTIONS,
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_http_proxy", 0),
)


def open_channel(target: str) -> grpc.aio.Channel:
    """A channel that carries trace context and correlation id; reconnects by itself. Close it when done."""
    return grpc.aio.insecure_channel(
        target, options=_CHANNEL_OPTIONS, interceptors=(UnaryContextInterceptor(), StreamContextInterceptor())
    )


def unresolved(error: grpc.aio.AioRpcError) -> bool:
    """Whether the name of the target was not found.

    A channel asks for such a name again after pauses that grow to two minutes, and nothing but a new channel asks
    at once; so whoever keeps a channel opens it anew.
    """
    words = error.details() or ""
    return error.code() == grpc.StatusCode.UNAVAILABLE and ("errors resolving" in words or "resolution failed" in words)
