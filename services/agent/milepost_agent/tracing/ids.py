"""Who is who in the trace of a run: ids that any process works out from what is committed, before and after a crash."""

import functools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from milepost_service.telemetry import context_from

Node = Literal["route", "arbitrate", "step"]
ROUTE: Final = "route"
ARBITRATE: Final = "arbitrate"
STEP: Final = "step"


@dataclass(frozen=True)
class RunTrace:
    """The trace of one run. Ids as numbers, as OpenTelemetry has them; `parent_id` 0: the run began the trace."""

    run_id: str
    trace_id: int
    parent_id: int
    sampled: bool
    state: TraceState

    @property
    def root_id(self) -> int:
        """The span of the run itself."""
        return span_id(self.run_id, "run")

    def node_id(self, epoch: int, node: Node, hop_index: int, step: str, which: int) -> int:
        """The span of one execution of a node.

        Args:
            epoch: Of the process that executes it.
            node: Which node.
            hop_index: The hop, counted from 1.
            step: The step that is up.
            which: Of a step, the attempt; else 1 once the user was asked what is meant, and 0 before.
        """
        return span_id(self.run_id, str(epoch), node, str(hop_index), step, str(which))

    def span_context(self, span: int) -> SpanContext:
        flags = TraceFlags(TraceFlags.SAMPLED if self.sampled else TraceFlags.DEFAULT)
        return SpanContext(self.trace_id, span, is_remote=False, trace_flags=flags, trace_state=self.state)

    def span(self, span: int) -> NonRecordingSpan:
        """What stands for a span while it is open: calls and log lines carry it, the journal records it."""
        return NonRecordingSpan(self.span_context(span))

    @contextmanager
    def within(self, span: int) -> Iterator[None]:
        """Calls and log lines inside belong to one of its spans."""
        with trace.use_span(self.span(span), record_exception=False, set_status_on_exception=False):
            yield

    def traceparent(self, span: int) -> str:
        """W3C `traceparent` of one of its spans."""
        return f"00-{self.trace_id:032x}-{span:016x}-{int(self.sampled):02x}"


@functools.lru_cache(maxsize=4096)
def run_trace(run_id: str, traceparent: str, tracestate: str = "") -> RunTrace:
    """The trace of a run that was accepted with its caller's context; without a valid one its trace id is its run id.

    A caller that does not sample has its runs not sampled either.
    """
    caller = remote_span(traceparent, tracestate)
    if caller is None:
        return RunTrace(run_id, _number(run_id), 0, True, TraceState())
    return RunTrace(run_id, caller.trace_id, caller.span_id, caller.trace_flags.sampled, caller.trace_state)


def remote_span(traceparent: str, tracestate: str = "") -> SpanContext | None:
    """The span that a W3C `traceparent` names; None when it is not valid."""
    if not traceparent:
        return None
    context: Context = context_from(traceparent, tracestate)
    span = trace.get_current_span(context).get_span_context()
    return span if span.is_valid else None


def span_id(*parts: str) -> int:
    """The first 8 bytes of the SHA-256 of the parts; never 0, which is no span id."""
    return int.from_bytes(sha256("\0".join(parts).encode()).digest()[:8]) or 1


def _number(run_id: str) -> int:
    try:
        return uuid.UUID(run_id).int or 1
    except ValueError:
        return int.from_bytes(sha256(run_id.encode()).digest()[:16]) or 1
