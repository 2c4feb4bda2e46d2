"""Names and values of the gRPC metadata that travel with every call between Milepost processes."""

from collections.abc import Iterable

from milepost_service.correlation import current_correlation_id

CALL_ID = "milepost-call-id"
CORRELATION_ID = "milepost-correlation-id"
OWNER = "milepost-owner"
EPOCH = "milepost-epoch"
LINGER = "milepost-linger-ms"
OBSERVABILITY = "milepost-observability"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
RETRY_PUSHBACK = "grpc-retry-pushback-ms"

Metadata = tuple[tuple[str, str], ...]


def call_metadata(
    *, call_id: str = "", correlation_id: str = "", owner: str = "", epoch: int | None = None, linger: float = 0.0
) -> Metadata:
    """Metadata of one outgoing call.

    `call_id` is the idempotency key (stable over restarts of the caller), `correlation_id` the UUID of the
    request (default: the one being served), `owner` the UUID of the caller's file of runs and `epoch` its fencing
    epoch (they go together), `linger` the seconds that the work may go on when the caller is gone. What is empty is
    left out. The trace context is added by the channel.
    """
    pairs = {
        CALL_ID: call_id,
        CORRELATION_ID: correlation_id or current_correlation_id(),
        OWNER: owner,
        EPOCH: "" if epoch is None else str(epoch),
        LINGER: str(round(linger * 1000)) if linger > 0 else "",
    }
    return tuple((key, value) for key, value in pairs.items() if value)


def first_value(metadata: Iterable[tuple[str, str | bytes]] | None, key: str) -> str:
    """The first text value of `key`, or an empty string."""
    for name, value in metadata or ():
        if name == key and isinstance(value, str):
            return value
    return ""
