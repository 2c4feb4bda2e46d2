"""One connection to an OTLP receiver over gRPC, for requests that are encoded already, and what became of them."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc

from milepost_service.telemetry.counters import REFUSED, ExportCounters, Signal, exports
from milepost_service.telemetry.destination import Destination, SignalName

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

log = logging.getLogger(__name__)

FIRST_BACKOFF: Final = 0.5
LONGEST_BACKOFF: Final = 10.0
_EXPORT: Final[dict[SignalName, str]] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_AGAIN: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""After which OTLP says to send the same again."""


@dataclass(frozen=True)
class Answer:
    """What became of a request: all was taken but for `rejected` items, unless one of the first two says else."""

    again: bool = False
    """The same may be sent later."""
    refused: bool = False
    """It never will be taken."""
    rejected: int = 0
    failure: str = ""


class Connection:
    """A channel to a receiver of one signal, opened when it is first used. For one thread, but for `close`."""

    def __init__(self, destination: Destination, signal: SignalName = "traces") -> None:
        self.destination = destination
        self._signal = signal
        self._channel: grpc.Channel | None = None
        self._export: Any = None
        self._closed = False

    def send(self, request: bytes) -> Answer:
        """Sends an encoded request of the signal and waits for the answer, as long as the destination says."""
        if self._closed:
            return Answer(again=True, failure="stopped")
        place = self.destination
        try:
            answer = self._stub()(request, timeout=place.timeout, metadata=place.headers)
        except grpc.RpcError as error:
            code, details = error.code(), " ".join(str(error.details()).split())[:200]
            too_large = code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details
            again = code in _AGAIN and not too_large
            return Answer(again, refused=not again, failure=f"{place.endpoint}: {code.name}: {details}")
        except (OSError, ValueError) as error:  # a certificate that cannot be used, a channel closed meanwhile
            return Answer(again=True, failure=f"{place.endpoint}: {error}")
        partial = answer.partial_success
        return Answer(rejected=partial.rejected_spans, failure=partial.error_message[:200])

    def close(self) -> None:
        """Ends a request that is under way, and all later ones."""
        self._closed = True
        if self._channel is not None:
            self._channel.close()

    def _stub(self) -> Any:
        if self._export is None:
            # Imported by those who export alone: these take their time. The answers to all signals are the same but
            # for the name of the count.
            from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: PLC0415

            self._channel = _open(self.destination)
            answer: type[ExportTraceServiceResponse] = trace_service_pb2.ExportTraceServiceResponse
            self._export = self._channel.unary_unary(_EXPORT[self._signal], response_deserializer=answer.FromString)
        return self._export


def _open(place: Destination) -> grpc.Channel:
    options = (("grpc.max_reconnect_backoff_ms", 5000), ("grpc.primary_user_agent", "milepost"))
    compression = grpc.Compression.Gzip if place.gzip else grpc.Compression.NoCompression
    if not place.secure:
        return grpc.insecure_channel(place.target, options, compression)
    files = (place.certificate, place.client_key, place.client_certificate)
    roots, key, chain = (None if file is None else file.read_bytes() for file in files)
    credentials = grpc.ssl_channel_credentials(roots, key, chain)
    return grpc.secure_channel(place.target, credentials, options, compression)


def next_backoff(before: float) -> float:
    """Seconds until the next try, given those until the last one (0: it was the first)."""
    return min(max(before * 2, FIRST_BACKOFF), LONGEST_BACKOFF)


class Report:
    """What becomes of the items of a signal: counted; the log tells when it begins to fail, and when that is over."""

    def __init__(self, signal: Signal, counters: ExportCounters = exports) -> None:
        self._signal = signal
        self._counters = counters
        self._failing = False

    def failed(self, failure: str) -> None:
        """A request was not taken, or not all of it."""
        self._counters.gave_up(self._signal, 0, REFUSED, failure)
        if not self._failing:
            log.warning("%s are not exported: %s", self._signal, failure)
        self._failing = True

    def settled(self, number: int, answer: Answer) -> None:
        """A request of so many items is done with: taken, as a whole or in part, or refused for good."""
        refused = number if answer.refused else min(answer.rejected, number)
        if refused < number:
            self._counters.sent(self._signal, number - refused)
        if refused:
            self._counters.gave_up(self._signal, refused, REFUSED)
            self.failed(answer.failure)
        elif self._failing:
            log.info("%s are exported again", self._signal)
            self._failing = False
