"""Makes the spans of a run from its journal: a fold, so that every process that reads the same events makes the same.

One node of a run is up at a time. The event that it commits completes its span and says which node is up next; the
first event of a later process completes what was up when the process before died, as lost.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from milepost_agent.store import Commit, EventRecord
from milepost_agent.tracing.drawing import Drawing, Up, Wait, text
from milepost_agent.tracing.ids import ARBITRATE, ROUTE, STEP, Node, remote_span
from milepost_agent.tracing.spans import Link, Moment, Span
from milepost_service.telemetry.conventions import Attributes as Key
from milepost_service.telemetry.encoding import Attributes

MOST_MOMENTS: Final = 128
FAILED_IN_NODE: Final = frozenset({"Failed", "TimeLimitReached"})
TOLD_BY_ROOT: Final = {
    "RunResumed": ("cause", "step", "attempt", "epoch"),
    "RunRestored": ("backup_id", "reason", "asked", "salvaged"),
    "RunInterrupted": ("reason",),
    "ReviewCycle": ("cycle", "max_cycles", "verdict"),
    "MessageSent": ("message_id", "sender_role", "recipient_role"),
    "MessageRefused": ("sender_role", "recipient_role", "reason"),
    "MessageDelivered": ("message_id",),
    "HopRefused": ("reason", "remaining_hops"),
}
"""Events that the span of the run tells of, and with which of their data."""


@dataclass(frozen=True)
class Lost:
    """A span that was open when its process ended. `epoch` of that process, `since` in seconds since the epoch."""

    span_id: str
    name: str
    since: float
    epoch: int


class RunProjection:
    """The spans of one run. Its events come in order, all of them, `RunAccepted` first."""

    def __init__(self, accepted: EventRecord) -> None:
        self.ended = False
        self._accepted = accepted
        self._draw = Drawing(accepted)
        self._up: Up | None = None
        self._clarified = 0
        self._ranked: Attributes = {}
        self._paused = False
        self._waits: dict[str, Wait] = {}
        self._moments: list[Moment] = []
        self._senders: dict[str, Link] = {}
        self._recoveries = 0
        self._hops = 0
        self._tokens = [0, 0]

    def take(self, event: EventRecord, epoch: int, commit: Commit | None = None) -> list[Span]:
        """The spans that this event completes.

        Args:
            event: The next one of the run.
            epoch: Of the process that committed it.
            commit: Of the event, where that is known.
        """
        handle = _HANDLERS.get(event.type)
        spans = [] if handle is None else handle(self, event, epoch)
        if event.type in _CHECKPOINTED:
            spans.append(self._draw.checkpoint(event, commit))
        if (keys := TOLD_BY_ROOT.get(event.type)) and len(self._moments) < MOST_MOMENTS:
            self._moments.append(Moment(event.type, event.time, _own(event, keys)))
        return spans if self._draw.trace.sampled else []

    def lost(self, last_epoch: int, *, driven: bool, in_order: bool) -> Lost | None:
        """What was open when the process that drove the run ended.

        Args:
            last_epoch: Of the last process that there was.
            driven: The clock of the run was going at its end.
            in_order: It had told its runs to stop, and waited for their nodes.
        """
        up = self._up
        if up is None or up.rests:
            return None
        up, sure = up.driven_in(last_epoch), up.sure and not up.waits
        if not (up.interrupted if in_order and up.epoch == last_epoch else driven or sure):
            return None
        return Lost(f"{self._draw.id_of(up):016x}", self._draw.name_of(up), up.since, up.epoch)

    def _run_accepted(self, event: EventRecord, epoch: int) -> list[Span]:
        self._up = Up(ROUTE, event.time, epoch, 1, "", 0)
        return []

    def _recommended(self, event: EventRecord, epoch: int) -> list[Span]:
        data = event.data
        up = self._completing(ROUTE, event, epoch)
        services = data.get("services") or []
        self._ranked = {
            Key.ROUTER_CONFIDENCE: float(services[0]["confidence"]) if services else 0.0,
            Key.ROUTER_CANDIDATES: [str(each["service"]) for each in services],
        }
        up.attributes |= {
            **self._ranked,
            Key.ROUTER_PATH: str(data.get("path", "")),
            Key.ROUTER_RELEVANCE: float(data.get("relevance", 1.0)),
            Key.ROUTER_MS: float(data.get("duration_ms", 0.0)),
            **({Key.ROUTER_FALLBACK_REASON: text(reason)} if (reason := data.get("fallback_reason")) else {}),
        }
        self._now(ARBITRATE, event, epoch, self._clarified)
        return [self._draw.node(up, event.time)]

    def _decided(self, event: EventRecord, epoch: int) -> list[Span]:
        data, action = event.data, str(event.data.get("action", ""))
        up = self._completing(ARBITRATE, event, epoch)
        up.since = max(up.since, event.time - _seconds(event))
        up.attributes |= {
            **self._ranked,
            Key.DECISION: action,
            Key.SERVICE: str(data.get("service", "")),
            Key.DECISION_AGREED: bool(data.get("agreed")),
            Key.DECISION_REASON: text(data.get("reason", "")),
        }
        self._up = None
        if action == "invoke":
            self._now(STEP, event, epoch, 1, service=str(data.get("service", "")), role=str(data.get("role", "")))
        elif action == "ask":
            self._clarified = 1
            self._now(ROUTE, event, epoch)
        return [self._draw.node(up, event.time)]

    def _step_skipped(self, event: EventRecord, epoch: int) -> list[Span]:
        self._now(ROUTE, event, epoch)
        return []

    def _step_started(self, event: EventRecord, epoch: int) -> list[Span]:
        before, data = self._up, event.data
        self._now(STEP, event, epoch, int(data.get("attempt", 1)), service=str(data.get("service", "")))
        if before is not None and before.node == STEP and self._up is not None:
            self._up = replace(self._up, role=before.role, moments=before.moments, links=before.links)
        for wait in self._waits.values():
            if wait.kind == "approval" and wait.until is None:
                wait.until = event.time  # that it was given is committed with what the step did then
        return []

    def _step_retried(self, event: EventRecord, epoch: int) -> list[Span]:
        up, error = self._completing(STEP, event, epoch), text(event.data.get("error", ""))
        up.moments.append(Moment("exception", event.time, {Key.EXCEPTION_MESSAGE: error}))
        self._now(STEP, event, epoch, up.which + 1, service=up.service, role=up.role)
        return [self._draw.node(up, event.time, error)]

    def _step_completed(self, event: EventRecord, epoch: int) -> list[Span]:
        data, up = event.data, self._completing(STEP, event, epoch)
        up.service, up.role = str(data.get("service", "")), str(data.get("role", ""))
        usage = data.get("usage") or {}
        tokens = [int(usage.get(name, 0)) for name in ("prompt_tokens", "completion_tokens")]
        self._tokens = [before + more for before, more in zip(self._tokens, tokens, strict=True)]
        self._hops += 1
        up.attributes |= {
            Key.REPLAYED: bool(data.get("replayed")),
            Key.CYCLE: int(data.get("cycle", 0)),
            Key.REMAINING_HOPS: int(data.get("remaining_hops", 0)),
            Key.GEN_AI_USAGE_INPUT_TOKENS: tokens[0],
            Key.GEN_AI_USAGE_OUTPUT_TOKENS: tokens[1],
            Key.QUEUE_MS: float(usage.get("queue_ms", 0.0)),
            **({Key.VERDICT: str(data["verdict"])} if data.get("verdict") else {}),
        }
        self._now(ROUTE, event, epoch)
        return [self._draw.node(up, event.time)]

    def _step_failed(self, event: EventRecord, epoch: int) -> list[Span]:
        up = self._completing(STEP, event, epoch)
        up.service = str(event.data.get("service", "")) or up.service
        up.attributes[Key.ERROR_TYPE] = str(event.data.get("reason", "")) or event.type
        self._up = None
        return [self._draw.node(up, event.time, text(event.data.get("message", "")) or event.type)]

    def _message_sent(self, event: EventRecord, epoch: int) -> list[Span]:
        if sender := remote_span(event.traceparent):
            attributes = _own(event, TOLD_BY_ROOT["MessageSent"])
            self._senders[str(event.data.get("message_id", ""))] = Link(sender.trace_id, sender.span_id, attributes)
        return []

    def _message_delivered(self, event: EventRecord, epoch: int) -> list[Span]:
        message_id = str(event.data.get("message_id", ""))
        if self._up is not None and self._up.node == STEP:
            sender = self._senders.get(message_id)
            told: Attributes = {Key.MESSAGE_ID: message_id} if sender is None else sender.attributes
            self._up.moments.append(Moment(event.type, event.time, told))
            self._up.links.extend([] if sender is None else [sender])
        return []

    def _question_asked(self, event: EventRecord, epoch: int) -> list[Span]:
        return self._waiting("question", event)

    def _approval_requested(self, event: EventRecord, epoch: int) -> list[Span]:
        return self._waiting("approval", event)

    def _question_answered(self, event: EventRecord, epoch: int) -> list[Span]:
        return self._waited(str(event.data.get("question_id", "")), event.time, "answered")

    def _approval_decided(self, event: EventRecord, epoch: int) -> list[Span]:
        end = "approved" if event.data.get("approved") else "rejected"
        return self._waited(str(event.data.get("approval_id", "")), event.time, end)

    def _run_paused(self, event: EventRecord, epoch: int) -> list[Span]:
        self._paused = True
        self._waits["pause"] = Wait("pause", str(event.sequence), event.time, event.step, self._hops + 1)
        return []

    def _run_continued(self, event: EventRecord, epoch: int) -> list[Span]:
        self._paused = False
        spans = self._waited("pause", event.time, "continued")
        up = self._up
        if up is None or up.waits:
            return spans
        if up.epoch != epoch and not up.rests:
            spans.append(self._draw.lost(up, event.time, "while it was paused"))
            self._again(up, event, epoch)
        elif up.rests:
            self._up = replace(up, since=event.time, epoch=epoch, rests=False, sure=False)
        return spans

    def _run_interrupted(self, event: EventRecord, epoch: int) -> list[Span]:
        if self._up is not None:
            self._up.interrupted = True
        return []

    def _run_resumed(self, event: EventRecord, epoch: int) -> list[Span]:
        self._recoveries += 1
        if self._up is None:
            return []
        lost = next(iter(event.data.get("lost") or ()), None)
        if lost is None:
            up = self._up.driven_in(epoch)
            self._up = replace(up, since=event.time, epoch=epoch, rests=False, sure=False, interrupted=False)
            return []
        up = self._up.driven_in(int(lost.get("epoch", self._up.epoch)))
        self._again(up, event, epoch)
        return [self._draw.lost(up, event.time, str(event.data.get("cause", "")))]

    def _run_restored(self, event: EventRecord, epoch: int) -> list[Span]:
        # What was up went on after the backup was made, and may have been exported as it went on then.
        if self._up is not None:
            self._up.rests = True
        return []

    def _run_completed(self, event: EventRecord, epoch: int) -> list[Span]:
        outcome = str(event.data.get("outcome", ""))
        spans = [span for key in list(self._waits) for span in self._waited(key, event.time, outcome)]
        up, from_outside = self._up, event.hop_index == 0
        if up is not None and not up.waits and not up.rests:
            if from_outside and up.epoch != epoch:
                spans.append(self._draw.lost(up, event.time, "crash"))
            elif from_outside or outcome in FAILED_IN_NODE:
                spans.append(self._draw.node(up, event.time, text(event.data.get("reason", "")) or outcome))
        self._up, self.ended = None, True
        told = {
            Key.RECOVERIES: self._recoveries,
            Key.GEN_AI_USAGE_INPUT_TOKENS: self._tokens[0],
            Key.GEN_AI_USAGE_OUTPUT_TOKENS: self._tokens[1],
        }
        return [*spans, self._draw.root(event, self._hops, told, self._moments)]

    def _now(
        self, node: Node, event: EventRecord, epoch: int, which: int = 0, *, service: str = "", role: str = ""
    ) -> None:
        """Says what is up from an event on."""
        hop_index, step = (self._hops + 1, "") if node == ROUTE else (event.hop_index, event.step)
        self._up = Up(node, event.time, epoch, hop_index, step, which, role, service, rests=self._paused, sure=True)

    def _again(self, up: Up, event: EventRecord, epoch: int) -> None:
        """Says that a node which was lost is up anew, and points back at what was lost."""
        which = 1 if up.node == STEP else up.which
        lost = Link(self._draw.trace.trace_id, self._draw.id_of(up), {Key.LOST: True})
        links = [link for link in up.links if Key.LOST not in link.attributes]
        again = replace(up, since=event.time, epoch=epoch, which=which, interrupted=False, sure=False)
        self._up = replace(again, attributes={}, moments=[], links=[*links, lost])

    def _completing(self, node: Node, event: EventRecord, epoch: int) -> Up:
        """What is up, which an event completes; told by the event alone where the journal says nothing of it before."""
        up = self._up
        if up is None or up.node != node:
            which = {ROUTE: 0, ARBITRATE: self._clarified, STEP: 1}[node]
            return Up(node, event.time - _seconds(event), epoch, event.hop_index, event.step, which)
        if up.waits:  # answered, and nobody was called for it
            up = replace(up, waits=False, since=event.time - _seconds(event), epoch=epoch)
        return replace(up, step=event.step, hop_index=event.hop_index)

    def _waiting(self, kind: str, event: EventRecord) -> list[Span]:
        input_id = str(event.data.get(f"{kind}_id", ""))
        self._waits[input_id] = Wait(kind, input_id, event.time, event.step, event.hop_index)
        if self._up is not None:
            self._up.waits = True
        return []

    def _waited(self, key: str, now: float, end: str) -> list[Span]:
        wait = self._waits.pop(key, None)
        return [] if wait is None else [self._draw.wait(wait, now, end)]


_CHECKPOINTED: Final = frozenset({"StepCompleted", "StepSkipped"})
_HANDLERS: Final[dict[str, Callable[[RunProjection, EventRecord, int], list[Span]]]] = {
    "RunAccepted": RunProjection._run_accepted,
    "RunResumed": RunProjection._run_resumed,
    "RunRestored": RunProjection._run_restored,
    "RunInterrupted": RunProjection._run_interrupted,
    "RunPaused": RunProjection._run_paused,
    "RunContinued": RunProjection._run_continued,
    "RunCompleted": RunProjection._run_completed,
    "Recommended": RunProjection._recommended,
    "Decided": RunProjection._decided,
    "StepStarted": RunProjection._step_started,
    "StepRetried": RunProjection._step_retried,
    "StepCompleted": RunProjection._step_completed,
    "StepSkipped": RunProjection._step_skipped,
    "StepFailed": RunProjection._step_failed,
    "MessageSent": RunProjection._message_sent,
    "MessageDelivered": RunProjection._message_delivered,
    "QuestionAsked": RunProjection._question_asked,
    "QuestionAnswered": RunProjection._question_answered,
    "ApprovalRequested": RunProjection._approval_requested,
    "ApprovalDecided": RunProjection._approval_decided,
}


def project(events: Iterable[EventRecord], epoch_of: Callable[[int], int]) -> RunProjection | None:
    """A run as far as these events tell it; None without its first one. `epoch_of` gives the epoch of a sequence."""
    projection: RunProjection | None = None
    for event in events:
        if projection is None:
            projection = RunProjection(event)
        projection.take(event, epoch_of(event.sequence))
    return projection


def _seconds(event: EventRecord) -> float:
    return float(event.data.get("duration_ms", 0.0)) / 1000


def _own(event: EventRecord, keys: Iterable[str]) -> dict[str, Any]:
    """Data of an event as attributes of ours."""
    found: dict[str, Any] = {}
    for key in keys:
        value = event.data.get(key)
        if value is not None:
            found[f"milepost.{key}"] = value if isinstance(value, bool | int | float) else text(value)
    return found
