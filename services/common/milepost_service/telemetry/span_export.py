"""Sends spans by OTLP over gRPC, in a thread of its own: whoever makes a span never waits, whatever the receiver does.

What cannot be sent now is tried again; what comes meanwhile waits in a bounded queue; what finds it full is counted.
"""

import os
import threading
import time
from collections import deque
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from milepost_service.telemetry.connection import Connection, Report, next_backoff
from milepost_service.telemetry.counters import QUEUE_FULL, SHUTDOWN, ExportCounters, exports

BATCH: Final = 512
"""Spans of one request at most."""
QUEUE: Final = 8192
"""Spans that wait at most."""
INTERVAL: Final = 1.0
"""Seconds that a span waits for others to go with, unless OTEL_BSP_SCHEDULE_DELAY (milliseconds) says else."""
STOP_SECONDS: Final = 2.0
"""How long the end of the process waits for what is queued."""


class SpanExport(SpanProcessor):
    """The end of every span of a service: into a queue, and out of it in a thread."""

    def __init__(self, connection: Connection, counters: ExportCounters = exports) -> None:
        self._connection = connection
        self._counters = counters
        self._queue: deque[ReadableSpan] = deque()
        self._sending: list[ReadableSpan] = []
        self._interval = _interval()
        self._wake = threading.Event()
        self._stopping = False
        self._report = Report("spans", counters)
        self._thread = threading.Thread(target=self._run, name="span-export", daemon=True)
        self._thread.start()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        pass

    def on_end(self, span: ReadableSpan) -> None:
        """Never blocks: the span is queued, or counted as dropped."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._stopping:
            self._counters.gave_up("spans", 1, SHUTDOWN)
        elif len(self._queue) >= QUEUE:
            self._counters.gave_up("spans", 1, QUEUE_FULL)
        else:
            self._queue.append(span)
            if len(self._queue) == BATCH:
                self._wake.set()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Waits until all that was queued is sent, or given up; False when the time was not enough."""
        deadline = time.monotonic() + timeout_millis / 1000
        while self._queue or self._sending:
            self._wake.set()
            if time.monotonic() > deadline or not self._thread.is_alive():
                return False
            time.sleep(0.01)
        return True

    def shutdown(self) -> None:
        """Sends what is queued, for `STOP_SECONDS` at most; the rest counts as dropped. A second call does nothing."""
        if self._stopping:
            return
        self._stopping = True
        self._wake.set()
        self._thread.join(STOP_SECONDS)
        self._connection.close()
        self._thread.join(1.0)
        self._counters.gave_up("spans", len(self._queue) + len(self._sending), SHUTDOWN)
        self._queue.clear()

    def _run(self) -> None:
        backoff = 0.0
        while True:
            self._wake.wait(backoff or self._interval)
            self._wake.clear()
            while self._sending or self._queue:
                if not self._sending:
                    self._sending = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH))]
                if not self._send():
                    backoff = next_backoff(backoff)
                    break
                backoff = 0.0
            if self._stopping:
                return

    def _send(self) -> bool:
        """Whether the batch is done with."""
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans  # noqa: PLC0415

        answer = self._connection.send(encode_spans(self._sending).SerializeToString())
        if answer.again:
            self._report.failed(answer.failure)
            return False
        self._report.settled(len(self._sending), answer)
        self._sending = []
        return True


def _interval() -> float:
    text = os.environ.get("OTEL_BSP_SCHEDULE_DELAY", "")
    return int(text) / 1000 if text.isascii() and text.isdigit() and int(text) else INTERVAL
