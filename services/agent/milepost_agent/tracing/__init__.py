"""The spans of runs: their ids, which go out with every call, and how they are made from the journal."""

from milepost_agent.tracing.ids import ARBITRATE, STEP, Node, RunTrace, run_trace
from milepost_agent.tracing.losing import lost_spans, was_driven
from milepost_agent.tracing.projection import RunProjection
from milepost_agent.tracing.spans import Span

__all__ = ["ARBITRATE", "STEP", "Node", "RunProjection", "RunTrace", "Span", "lost_spans", "run_trace", "was_driven"]
