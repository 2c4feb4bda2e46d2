"""Spans made from events alone: tables of journals, and what must come out of each."""

from collections.abc import Sequence
from typing import Any

import pytest

from milepost_agent.store import EventRecord
from milepost_agent.tracing import RunProjection, Span, run_trace
from milepost_agent.tracing.epochs import Epochs
from milepost_agent.tracing.projection import Lost, project

RUN = "11111111-2222-4333-8444-555555555555"
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"
TRACE = run_trace(RUN, "")
RECOMMENDED = {"services": [{"service": "w", "confidence": 0.7}], "path": "embedding", "duration_ms": 1.0}
INVOKE = {"action": "invoke", "service": "w", "agreed": True, "reason": "fits", "duration_ms": 0.5, "role": "coder"}
COMPLETED = {"role": "coder", "service": "w", "duration_ms": 100.0, "usage": {"prompt_tokens": 3}}


class Journal:
    """Writes a journal, one event a second, and folds it."""

    def __init__(self, traceparent: str = "") -> None:
        self.events: list[EventRecord] = []
        self.own: list[EventRecord] = []
        self.started(1)
        self.add("RunAccepted", hop=0, step="", traceparent=traceparent, workflow="flow")

    def add(self, kind: str, hop: int = 1, step: str = "code", traceparent: str = "", **data: Any) -> "Journal":
        self.events.append(self._event(RUN, kind, hop, step, traceparent, data))
        return self

    def started(self, epoch: int) -> "Journal":
        self.own.append(self._event("", "AgentStarted", 0, "", "", {"epoch": epoch}))
        return self

    def resumed(self, epoch: int, cause: str = "crash", driven: bool = True, in_order: bool = False) -> "Journal":
        """A process begins and goes on with the run, as recovery writes it down."""
        self.started(epoch)
        epochs = Epochs(self.own)
        fold = project(self.events, epochs.of)
        assert fold is not None
        lost = fold.lost(epochs.before_last(), driven=driven, in_order=in_order)
        return self.add("RunResumed", hop=0, cause=cause, epoch=epoch, lost=[] if lost is None else [vars(lost)])

    def hop(self, hop: int = 1, step: str = "code", upto: str = "StepCompleted") -> "Journal":
        """The events of a hop, up to one of them."""
        datas: dict[str, dict[str, Any]] = {
            "Recommended": RECOMMENDED,
            "Decided": INVOKE,
            "StepStarted": {"service": "w", "attempt": 1},
            "StepCompleted": COMPLETED,
        }
        for kind, data in datas.items():
            self.add(kind, hop, step, **data)
            if kind == upto:
                break
        return self

    def ended(self, outcome: str = "Completed", reason: str = "", outside: bool = False) -> "Journal":
        return self.add("RunCompleted", 0 if outside else 2, "", outcome=outcome, reason=reason)

    def _event(self, run: str, kind: str, hop: int, step: str, traceparent: str, data: dict[str, Any]) -> EventRecord:
        sequence = len(self.events) + len(self.own) + 1
        return EventRecord(sequence, run, "c-1", kind, 1000.0 + sequence, step, hop, data, traceparent)

    def spans(self) -> list[Span]:
        """What all of it makes; a fold that is begun anew at any event makes the same from there on."""
        epochs = Epochs(self.own)
        made = [self._from(self.events, epochs, start) for start in range(len(self.events))]
        for start, spans in enumerate(made):
            assert [span for found in spans for span in found] == [span for found in made[0][start:] for span in found]
        return [span for found in made[0] for span in found]

    @staticmethod
    def _from(events: Sequence[EventRecord], epochs: Epochs, start: int) -> list[list[Span]]:
        fold = project(events[:start], epochs.of) or RunProjection(events[0])
        return [fold.take(event, epochs.of(event.sequence)) for event in events[start:]]


def told(spans: Sequence[Span]) -> list[tuple[str, str]]:
    """Each span with how it ended: ok, lost or error."""
    return [
        (span.name, "lost" if "milepost.lost" in span.attributes else "error" if span.error else "ok") for span in spans
    ]


ROUTE, ARBITRATE, STEP, SAVE, WAIT, ROOT = (
    "agent.route_recommendation",
    "agent.arbitrate",
    "invoke_agent coder",
    "checkpoint.save",
    "agent.wait",
    "agent.run",
)
HOP = [(ROUTE, "ok"), (ARBITRATE, "ok"), (STEP, "ok"), (SAVE, "ok")]
QUESTION = {"question_id": "q"}
ASK = {**INVOKE, "action": "ask", "service": "", "agreed": False}


@pytest.mark.requirement("OBS-2")
@pytest.mark.parametrize(
    ("journal", "expected"),
    [
        pytest.param(Journal().hop().ended(), [*HOP, (ROOT, "ok")], id="one hop"),
        pytest.param(
            Journal().ended("Cancelled", outside=True), [(ROUTE, "error"), (ROOT, "ok")], id="cancelled at once"
        ),
        pytest.param(
            Journal().ended("Failed", "NoServiceReady: step code"),
            [(ROUTE, "error"), (ROOT, "error")],
            id="nobody ready",
        ),
        pytest.param(
            Journal().hop(upto="Recommended").ended("Failed", "NoServiceFits"),
            [(ROUTE, "ok"), (ARBITRATE, "error"), (ROOT, "error")],
            id="nothing fits",
        ),
        pytest.param(
            Journal().hop(upto="StepStarted").add("StepFailed", reason="Refused", message="no").ended("Failed", "no"),
            [(ROUTE, "ok"), (ARBITRATE, "ok"), (STEP, "error"), (ROOT, "error")],
            id="step failed",
        ),
        pytest.param(
            Journal()
            .hop(upto="StepStarted")
            .add("StepRetried", service="w", attempt=1, error="gone")
            .add("StepStarted", service="v", attempt=2)
            .add("StepCompleted", **COMPLETED)
            .ended(),
            [(ROUTE, "ok"), (ARBITRATE, "ok"), (STEP, "error"), (STEP, "ok"), (SAVE, "ok"), (ROOT, "ok")],
            id="retried",
        ),
        pytest.param(
            Journal().hop(upto="StepStarted").ended("Cancelled", "enough", outside=True),
            [(ROUTE, "ok"), (ARBITRATE, "ok"), (STEP, "error"), (ROOT, "ok")],
            id="cancelled in a step",
        ),
        pytest.param(
            Journal()
            .hop(upto="StepStarted")
            .resumed(2)
            .add("StepStarted", service="w", attempt=1)
            .add("StepCompleted", **COMPLETED)
            .ended(),
            [(ROUTE, "ok"), (ARBITRATE, "ok"), (STEP, "lost"), (STEP, "ok"), (SAVE, "ok"), (ROOT, "ok")],
            id="killed in a step",
        ),
        pytest.param(
            Journal().hop(upto="Decided").resumed(2).add("StepCompleted", **COMPLETED).ended(),
            [(ROUTE, "ok"), (ARBITRATE, "ok"), (STEP, "lost"), (STEP, "ok"), (SAVE, "ok"), (ROOT, "ok")],
            id="killed before the start of the step was on disk",
        ),
        pytest.param(
            Journal()
            .hop(upto="Recommended")
            .resumed(2)
            .resumed(3)
            .add("Decided", **INVOKE)
            .add("StepCompleted", **COMPLETED)
            .ended(),
            [
                (ROUTE, "ok"),
                (ARBITRATE, "lost"),
                (ARBITRATE, "lost"),
                (ARBITRATE, "ok"),
                (STEP, "ok"),
                (SAVE, "ok"),
                (ROOT, "ok"),
            ],
            id="killed twice in an arbitration",
        ),
        pytest.param(
            Journal().resumed(2).hop().ended(),
            [(ROUTE, "lost"), *HOP, (ROOT, "ok")],
            id="killed while it waits for a service",
        ),
        pytest.param(Journal().resumed(2, driven=False).hop().ended(), [*HOP, (ROOT, "ok")], id="killed, never driven"),
        pytest.param(
            Journal().hop().resumed(2, "restart", in_order=True).ended(),
            [*HOP, (ROOT, "ok")],
            id="restarted between steps",
        ),
        pytest.param(
            Journal()
            .hop(upto="StepStarted")
            .add("RunInterrupted", hop=0, step="")
            .resumed(2, "restart", in_order=True)
            .add("StepCompleted", **COMPLETED)
            .ended(),
            [(ROUTE, "ok"), (ARBITRATE, "ok"), (STEP, "lost"), (STEP, "ok"), (SAVE, "ok"), (ROOT, "ok")],
            id="restarted in a step",
        ),
        pytest.param(
            Journal().hop(upto="StepStarted").resumed(2).started(3).ended("NeedsAttention", "CrashLoop", outside=True),
            [(ROUTE, "ok"), (ARBITRATE, "ok"), (STEP, "lost"), (STEP, "lost"), (ROOT, "error")],
            id="needs attention",
        ),
        pytest.param(
            Journal()
            .hop(upto="Recommended")
            .add("QuestionAsked", **QUESTION)
            .started(2)
            .add("QuestionAnswered", **QUESTION)
            .add("Decided", **ASK)
            .hop()
            .ended(),
            [(ROUTE, "ok"), (WAIT, "ok"), (ARBITRATE, "ok"), *HOP, (ROOT, "ok")],
            id="asked, killed, answered",
        ),
        pytest.param(
            Journal()
            .hop(upto="Decided")
            .add("ApprovalRequested", approval_id="a")
            .started(2)
            .add("StepStarted", service="w", attempt=1)
            .add("ApprovalDecided", approval_id="a", approved=True)
            .add("StepCompleted", **COMPLETED)
            .ended(),
            [(ROUTE, "ok"), (ARBITRATE, "ok"), (WAIT, "ok"), (STEP, "ok"), (SAVE, "ok"), (ROOT, "ok")],
            id="approved by a later process",
        ),
        pytest.param(
            Journal()
            .hop(upto="Decided")
            .add("ApprovalRequested", approval_id="a")
            .started(2)
            .resumed(3)
            .add("StepStarted", service="w", attempt=1)
            .add("ApprovalDecided", approval_id="a", approved=True)
            .add("StepCompleted", **COMPLETED)
            .ended(),
            [(ROUTE, "ok"), (ARBITRATE, "ok"), (STEP, "lost"), (WAIT, "ok"), (STEP, "ok"), (SAVE, "ok"), (ROOT, "ok")],
            id="approved, killed before the start was on disk",
        ),
        pytest.param(
            Journal()
            .hop(upto="Decided")
            .add("ApprovalRequested", approval_id="a")
            .ended("WaitTimedOut", "late", outside=True),
            [(ROUTE, "ok"), (ARBITRATE, "ok"), (WAIT, "ok"), (ROOT, "error")],
            id="nobody answered",
        ),
        pytest.param(
            Journal()
            .hop(upto="StepStarted")
            .add("RunPaused", reason="")
            .add("StepCompleted", **COMPLETED)
            .started(2)
            .add("RunContinued", paused_seconds=1.0)
            .hop(2)
            .ended(),
            [*HOP, (WAIT, "ok"), *HOP, (ROOT, "ok")],
            id="paused over a restart",
        ),
        pytest.param(
            Journal()
            .hop(upto="StepStarted")
            .add("RunPaused", reason="")
            .started(2)
            .add("RunContinued", paused_seconds=1.0)
            .add("StepStarted", service="w", attempt=1)
            .add("StepCompleted", **COMPLETED)
            .ended(),
            [(ROUTE, "ok"), (ARBITRATE, "ok"), (WAIT, "ok"), (STEP, "lost"), (STEP, "ok"), (SAVE, "ok"), (ROOT, "ok")],
            id="killed in the step after which it was to pause",
        ),
        pytest.param(
            Journal()
            .hop(upto="StepStarted")
            .add("RunRestored", backup_id="b")
            .resumed(1_000_002, "restore")
            .add("StepStarted", service="w", attempt=1)
            .add("StepCompleted", **COMPLETED)
            .ended(),
            [*HOP, (ROOT, "ok")],
            id="restored from a backup",
        ),
        pytest.param(
            Journal()
            .hop(upto="Recommended")
            .add("Decided", **{**INVOKE, "action": "skip", "service": ""})
            .add("StepSkipped", remaining_hops=1)
            .hop(1, "review")
            .ended(),
            [(ROUTE, "ok"), (ARBITRATE, "ok"), (SAVE, "ok"), *HOP, (ROOT, "ok")],
            id="skipped",
        ),
    ],
)
def test_what_happened_is_one_tree_of_spans(journal: Journal, expected: list[tuple[str, str]]) -> None:
    """Whatever befell a run: these spans, ids once each, all below one root, and the same from any event on."""
    spans = journal.spans()
    assert told(spans) == expected
    ids = [span.span_id for span in spans]
    assert len(set(ids)) == len(ids)
    assert {span.parent_id for span in spans} == {0, TRACE.root_id}
    assert {(span.trace_id, span.attributes["correlation.id"]) for span in spans} == {(TRACE.trace_id, "c-1")}
    assert all(span.start <= span.end for span in spans)


@pytest.mark.requirement("OBS-2")
def test_a_span_has_the_id_that_its_calls_went_out_with() -> None:
    """What the nodes send as their span is what the journal tells of, over a crash too."""
    journal = Journal().hop(upto="Recommended").resumed(2).add("Decided", **INVOKE)
    journal.add("StepStarted", service="w", attempt=1).add("StepRetried", attempt=1, error="x", service="w").resumed(3)
    spans = [span for span in journal.add("StepCompleted", **COMPLETED).ended().spans() if span.name != SAVE]
    assert [span.span_id for span in spans[1:]] == [
        TRACE.node_id(1, "arbitrate", 1, "code", 0),
        TRACE.node_id(2, "arbitrate", 1, "code", 0),
        TRACE.node_id(2, "step", 1, "code", 1),
        TRACE.node_id(2, "step", 1, "code", 2),
        TRACE.node_id(3, "step", 1, "code", 1),
        TRACE.root_id,
    ]
    lost, again = spans[1], spans[2]
    assert [link.span_id for link in again.links] == [lost.span_id]
    assert lost.end == next(event.time for event in journal.events if event.type == "RunResumed")


@pytest.mark.requirement("OBS-2")
def test_an_answered_question_makes_the_second_arbitration_another_span() -> None:
    """Both arbitrations of a hop have ids that their node knows: before and after the user was asked."""
    journal = Journal().hop(upto="Recommended").add("QuestionAsked", **QUESTION)
    journal.add("QuestionAnswered", **QUESTION).add("Decided", **ASK).hop().ended()
    found = [span.span_id for span in journal.spans() if span.name == ARBITRATE]
    assert found == [TRACE.node_id(1, "arbitrate", 1, "code", asked) for asked in (0, 1)]


@pytest.mark.requirement("OBS-2", "A2A-1")
def test_a_message_links_the_step_that_received_it_to_its_sender() -> None:
    sender = f"00-{TRACE.trace_id:032x}-00000000000000aa-01"
    journal = (
        Journal().hop().add("MessageSent", traceparent=sender, message_id="m", sender_role="r", recipient_role="c")
    )
    journal.hop(2, upto="Decided").add("MessageDelivered", 2, message_id="m")
    journal.add("StepStarted", 2, service="w", attempt=1).add("StepCompleted", 2, **COMPLETED).ended()
    second = [span for span in journal.spans() if span.name == STEP][1]
    assert [(link.span_id, link.attributes["milepost.sender_role"]) for link in second.links] == [(0xAA, "r")]
    assert [moment.name for moment in second.moments] == ["MessageDelivered"]


@pytest.mark.requirement("OBS-2")
@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False)])
def test_a_run_goes_below_the_span_of_its_caller_if_that_is_sampled(flags: str, sampled: bool) -> None:
    spans = Journal(CALLER.format(flags=flags)).hop().ended().spans()
    roots = [(f"{span.trace_id:032x}", f"{span.parent_id:016x}") for span in spans if span.name == ROOT]
    assert roots == ([tuple(CALLER.split("-")[1:3])] if sampled else [])
    assert bool(spans) == sampled


def test_a_context_that_is_none_begins_a_trace_of_its_own() -> None:
    for text in ("nonsense", "00-0-0-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"):
        assert run_trace(RUN, text) == TRACE


@pytest.mark.requirement("OBS-2")
def test_spans_carry_the_attributes_that_others_search_by() -> None:
    """Required and gen_ai names at root, ranking, decision and step; text is bounded."""
    journal = Journal().hop(upto="Recommended").add("Decided", **{**INVOKE, "reason": "x" * 5000})
    journal.add("StepStarted", service="w", attempt=1).add("StepCompleted", **{**COMPLETED, "verdict": "revise"})
    spans = {span.name: span.attributes for span in journal.ended().spans()}
    assert all(span["thread.id"] == span["gen_ai.conversation.id"] == RUN for span in spans.values())
    assert all(span["hop.count"] == 1 for span in spans.values())
    assert spans[ROOT]["gen_ai.operation.name"] == "invoke_workflow"
    assert spans[ROOT]["gen_ai.usage.input_tokens"] == 3
    assert spans[ROUTE]["router.confidence"] == 0.7
    assert len(str(spans[ARBITRATE]["milepost.decision.reason"])) == 1024
    assert spans[ARBITRATE]["milepost.decision.agreed"] is True
    beside = ("router.confidence", "milepost.router.candidates")
    assert [spans[ARBITRATE][name] for name in beside] == [spans[ROUTE][name] for name in beside] == [0.7, ["w"]]
    assert (spans[STEP]["gen_ai.operation.name"], spans[STEP]["gen_ai.agent.name"]) == ("invoke_agent", "coder")
    assert (spans[STEP]["milepost.verdict"], spans[STEP]["milepost.call.attempt"]) == ("revise", 1)


@pytest.mark.requirement("RTR-5")
def test_a_ranking_says_which_path_answered_and_why_not_the_one_before() -> None:
    """The reason is there where a path failed, and nowhere else."""
    reason = "language model: late after 2.0 s"
    failed = Journal().add("Recommended", **{**RECOMMENDED, "path": "keywords", "fallback_reason": reason})
    well = Journal().add("Recommended", **RECOMMENDED, fallback_reason=None)
    [ranked], [ranked_well] = failed.spans(), well.spans()
    assert ranked.attributes["milepost.router.path"] == "keywords"
    assert ranked.attributes["milepost.router.fallback_reason"] == reason
    assert ranked_well.attributes["milepost.router.path"] == "embedding"
    assert "milepost.router.fallback_reason" not in ranked_well.attributes


def test_events_that_nobody_knows_and_fields_that_are_missing_change_nothing() -> None:
    journal = Journal().add("Invented", x=1)
    for kind in ("Recommended", "Decided", "StepStarted", "StepCompleted", "MessageDelivered", "ReviewCycle"):
        journal.add(kind)
    assert told(journal.ended().spans())[-1] == (ROOT, "ok")


@pytest.mark.requirement("OBS-2")
def test_what_was_open_is_known_before_the_run_goes_on() -> None:
    journal = Journal().hop(upto="StepStarted")
    fold = project(journal.events, Epochs(journal.own).of)
    assert fold is not None
    span_id = f"{TRACE.node_id(1, 'step', 1, 'code', 1):016x}"
    assert fold.lost(1, driven=False, in_order=False) == Lost(span_id, STEP, journal.events[-1].time, 1)
    assert fold.lost(1, driven=True, in_order=True) is None
