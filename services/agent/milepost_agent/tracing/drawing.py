"""The spans of a run, given what there is to say of each."""

from dataclasses import dataclass, field, replace
from typing import Any, Final

from milepost_agent.store import Commit, EventRecord
from milepost_agent.tracing.ids import ROUTE, STEP, Node, RunTrace, run_trace, span_id
from milepost_agent.tracing.spans import Link, Moment, Span
from milepost_service.telemetry.conventions import Attributes as Key
from milepost_service.telemetry.conventions import Kinds, Operations, Spans

LONGEST_TEXT: Final = 1024
"""Characters of an attribute; what steps wrote is not among them."""
GOOD_OUTCOMES: Final = frozenset({"Completed", "ReviewLimitReached", "HopLimitReached", "Cancelled"})


@dataclass
class Up:
    """The node that is up: since when, in which process, and what its span will hold."""

    node: Node
    since: float
    epoch: int
    hop_index: int
    step: str
    which: int
    role: str = ""
    service: str = ""
    waits: bool = False
    """It waits for a person: nobody executes it."""
    rests: bool = False
    """The run was paused before it began."""
    sure: bool = False
    """The process that committed the event before it went on at once."""
    interrupted: bool = False
    """A process that ended in order stopped it in the middle."""
    attributes: dict[str, Any] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)

    def driven_in(self, epoch: int) -> "Up":
        """The same; if it waited for a person, as it went on after the answer, in the process of that epoch."""
        return replace(self, waits=False, epoch=epoch) if self.waits else self


@dataclass
class Wait:
    """Something that a person must do, and since when."""

    kind: str
    id: str
    since: float
    step: str
    hop_index: int
    until: float | None = None


class Drawing:
    """Draws the spans of one run."""

    def __init__(self, accepted: EventRecord) -> None:
        self.trace: RunTrace = run_trace(accepted.run_id, accepted.traceparent)
        self._accepted = accepted

    def id_of(self, up: Up) -> int:
        """Known to the node while it is open, if it calls anybody; the ranking calls nobody."""
        if up.node == ROUTE:
            return span_id(self.trace.run_id, str(up.epoch), ROUTE, repr(up.since))
        return self.trace.node_id(up.epoch, up.node, up.hop_index, up.step, up.which)

    def name_of(self, up: Up) -> str:
        if up.node == STEP:
            return f"{Spans.INVOKE_AGENT}{up.role or up.step}"
        return Spans.ROUTE_RECOMMENDATION if up.node == ROUTE else Spans.ARBITRATE

    def node(self, up: Up, end: float, error: str = "") -> Span:
        """One execution of a node, or one attempt of a step."""
        attributes = {**self._common(up.hop_index, up.step), Key.EPOCH: up.epoch, **up.attributes}
        if up.node == STEP:
            attributes |= {
                Key.GEN_AI_OPERATION_NAME: Operations.INVOKE_AGENT,
                Key.GEN_AI_AGENT_NAME: up.role or up.step,
                Key.OPENINFERENCE_SPAN_KIND: Kinds.AGENT,
                Key.ATTEMPT: up.which,
                Key.SERVICE: up.service,
            }
        else:
            attributes |= {
                Key.GEN_AI_OPERATION_NAME: Operations.PLAN,
                Key.OPENINFERENCE_SPAN_KIND: Kinds.CHAIN,
            }
        return self._span(
            self.id_of(up), self.name_of(up), min(up.since, end), end, attributes, up.moments, up.links, error
        )

    def lost(self, up: Up, end: float, cause: str) -> Span:
        """What was open when its process ended; `end` is when the run went on or was given up."""
        up.attributes |= {Key.LOST: True, Key.LOST_CAUSE: cause}
        return self.node(up, end, f"lost: its process ended meanwhile ({cause}); made from the journal")

    def wait(self, wait: Wait, now: float, end: str) -> Span:
        """The time in which a person was to do something; `end` says how it came out."""
        attributes = {**self._common(wait.hop_index, wait.step), Key.WAIT_KIND: wait.kind, Key.WAIT_END: end}
        until = now if wait.until is None else wait.until
        return self._span(
            span_id(self.trace.run_id, "wait", wait.kind, wait.id), Spans.WAIT, wait.since, until, attributes
        )

    def checkpoint(self, event: EventRecord, commit: Commit | None) -> Span:
        """The commit of a step."""
        attributes = {**self._common(event.hop_index, event.step), Key.CHECKPOINT_SEQUENCE: event.sequence}
        if size := event.data.get("checkpoint_bytes"):
            attributes[Key.CHECKPOINT_BYTES] = int(size)
        seconds = 0.0
        if commit is not None:
            seconds = commit.seconds
            attributes |= {Key.CHECKPOINT_COMMIT_MS: seconds * 1000, Key.CHECKPOINT_BATCH: commit.items}
        found = span_id(self.trace.run_id, "checkpoint", str(event.sequence))
        return self._span(found, Spans.CHECKPOINT_SAVE, event.time, event.time + seconds, attributes)

    def root(self, ended: EventRecord, hops: int, told: dict[str, Any], moments: list[Moment]) -> Span:
        """The run from its acceptance to its end; `told` are attributes that come from its other events."""
        outcome, reason = str(ended.data.get("outcome", "")), text(ended.data.get("reason", ""))
        attributes = {
            **self._common(hops, ""),
            Key.GEN_AI_OPERATION_NAME: Operations.INVOKE_WORKFLOW,
            Key.GEN_AI_WORKFLOW_NAME: str(self._accepted.data.get("workflow", "")),
            Key.OPENINFERENCE_SPAN_KIND: Kinds.CHAIN,
            Key.WORKFLOW_DIGEST: str(self._accepted.data.get("workflow_digest", "")),
            Key.OUTCOME: outcome,
            **({Key.OUTCOME_REASON: reason} if reason else {}),
            **told,
        }
        error = "" if outcome in GOOD_OUTCOMES else reason or outcome
        start = self._accepted.time
        span = self._span(self.trace.root_id, Spans.RUN, start, max(ended.time, start), attributes, moments, (), error)
        return replace(span, parent_id=self.trace.parent_id, is_server=True)

    def _span(
        self,
        found: int,
        name: str,
        start: float,
        end: float,
        attributes: dict[str, Any],
        moments: Any = (),
        links: Any = (),
        error: str = "",
    ) -> Span:
        trace = self.trace
        return Span(trace.trace_id, found, trace.root_id, name, start, end, attributes, moments, links, error)

    def _common(self, hop_index: int, step: str) -> dict[str, Any]:
        """What every span of a run carries."""
        run_id = self.trace.run_id
        common: dict[str, Any] = {
            Key.THREAD_ID: run_id,
            Key.GEN_AI_CONVERSATION_ID: run_id,
            Key.CORRELATION_ID: self._accepted.correlation_id,
            Key.HOP_COUNT: hop_index,
        }
        if step:
            common[Key.STEP] = step
        return common


def text(value: object) -> str:
    """As an attribute: bounded."""
    return str(value)[:LONGEST_TEXT]
