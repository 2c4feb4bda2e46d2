"""Each journal event as lines for people, the same on a terminal and in a file; unknown types are shown as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from milepost_cli.decisions import REASON_LIMIT, decision_style, decision_text, path_text, recommendation_text
from milepost_cli.progress import Event, Progress
from milepost_cli.text import first_lines, milliseconds, one_line, spaced

OUTPUT_LINES = 4
DATA_LIMIT = 300


@dataclass(frozen=True)
class Line:
    """`style` is a style of rich, for terminals only."""

    text: str
    style: str = ""


def narrate(event: Event, progress: Progress) -> list[Line]:
    """Lines for `event`; `progress` has taken it already."""
    teller = TELLERS.get(event.type)
    return teller(event, progress) if teller is not None else [_unknown(event)]


def _accepted(event: Event, progress: Progress) -> list[Line]:
    return [Line(f"run {progress.run_id} of {progress.workflow} accepted", "dim")]


def _started(event: Event, progress: Progress) -> list[Line]:
    hops = f", at most {progress.max_hops} hops" if progress.max_hops else ""
    return [Line(f"run started{hops}", "dim")]


def _resumed(event: Event, progress: Progress) -> list[Line]:
    cause = event.text("cause")
    because = f" ({spaced(cause)})" if cause else ""
    at = f" at step {progress.step}" if progress.step else ""
    return [Line(f"agent restarted, run resumed{at}{because}", "bold yellow")]


def _recommended(event: Event, progress: Progress) -> list[Line]:
    text = recommendation_text(event.entries("services"), event.number("none_probability"))
    took = path_text(event.text("path"), event.number("duration_ms"))
    because = (("because", event.text("reasoning")), ("fallback:", event.text("fallback_reason")))
    return [
        Line(f"{_hop(event)}router recommends  {text}  {took}", "cyan"),
        *(Line(f"    {word} {one_line(reason, REASON_LIMIT)}", "dim") for word, reason in because if reason),
    ]


def _decided(event: Event, progress: Progress) -> list[Line]:
    action, agreed = event.text("action"), bool(event.data.get("agreed"))
    text = decision_text(action, event.text("service"), agreed, event.entries("choices"))
    took = milliseconds(event.number("duration_ms"))
    lines = [Line(f"{_hop(event)}arbitrator decides {text}  [{took}]", decision_style(action, agreed))]
    reason = one_line(event.text("reason"), REASON_LIMIT)
    return [*lines, Line(f"    because {reason}", "dim")] if reason else lines


def _step_started(event: Event, progress: Progress) -> list[Line]:
    attempt = int(event.number("attempt"))
    again = f", attempt {attempt}" if attempt > 1 else ""
    return [Line(f"{_hop(event)}{event.step}: {event.text('service')} started{again}", "dim")]


def _step_retried(event: Event, progress: Progress) -> list[Line]:
    error = one_line(event.text("error"), 200)
    return [Line(f"{_hop(event)}{event.step}: {event.text('service')} is tried again: {error}", "yellow")]


def _step_completed(event: Event, progress: Progress) -> list[Line]:
    verdict = f", verdict {event.text('verdict')}" if event.text("verdict") else ""
    replayed = ", answer of the completed call used again" if event.data.get("replayed") else ""
    hops = f"  ({progress.hops_text})" if progress.hops_text else ""
    took = milliseconds(event.number("duration_ms"))
    head = f"{_hop(event)}{event.step}: {event.text('service')} done in {took}{verdict}{replayed}{hops}"
    output = [Line(f"    {line}") for line in first_lines(event.text("output"), OUTPUT_LINES)]
    return [Line(head, "green"), *output, *_citations(event), *_tool_calls(event)]


def _citations(event: Event) -> list[Line]:
    sources = list(dict.fromkeys(str(citation.get("source", "")) for citation in event.entries("citations")))
    return [Line(f"    cited: {one_line(', '.join(sources), 160)}", "dim")] if sources else []


def _tool_calls(event: Event) -> list[Line]:
    return [
        Line(
            f"    {call.get('name', '')}({one_line(str(call.get('arguments', '')), 80)}) = {_tool_result(call)}", "dim"
        )
        for call in event.entries("tool_calls")
    ]


def _tool_result(call: Mapping[str, Any]) -> str:
    return one_line(str(call.get("error") or call.get("result") or ""), 80)


def _step_skipped(event: Event, progress: Progress) -> list[Line]:
    reason = one_line(event.text("reason"), 160)
    return [Line(f"{_hop(event)}{event.step}: skipped" + (f": {reason}" if reason else ""), "dim")]


def _step_failed(event: Event, progress: Progress) -> list[Line]:
    return [Line(f"{_hop(event)}{event.step}: failed: {_reason_and_message(event)}", "bold red")]


def _hop_refused(event: Event, progress: Progress) -> list[Line]:
    return [Line(f"a further hop was refused: {_reason_and_message(event)}", "yellow")]


def _review_cycle(event: Event, progress: Progress) -> list[Line]:
    cycle, most = int(event.number("cycle")), int(event.number("max_cycles"))
    verdict = event.text("verdict")
    return [Line(f"Review Cycle {cycle} of {most}" + (f": {spaced(verdict)}" if verdict else ""), "bold blue")]


def _message_sent(event: Event, progress: Progress) -> list[Line]:
    return [Line(f"message from {event.text('sender_role')} to {event.text('recipient_role')}", "dim")]


def _question_asked(event: Event, progress: Progress) -> list[Line]:
    options = ", ".join(str(option) for option in event.data.get("options") or ())
    identity = event.text("question_id")
    return [
        Line(f"question: {one_line(event.text('text'), 500)}" + (f" [{options}]" if options else ""), "bold yellow"),
        Line(f'    answer with: milepost answer {progress.run_id} {identity} "your answer"{progress.option}', "yellow"),
    ]


def _question_answered(event: Event, progress: Progress) -> list[Line]:
    return [Line(f"question answered: {one_line(event.text('answer'), 200)}".rstrip(": "), "green")]


def _approval_requested(event: Event, progress: Progress) -> list[Line]:
    identity = event.text("approval_id")
    what = one_line(event.text("text"), 500) or f"step {event.step}"
    command = f"milepost approve {progress.run_id} {identity}{progress.option}"
    return [
        Line(f"approval needed: {what}", "bold yellow"),
        Line(f"    decide with: {command} [--reject] [--comment TEXT]", "yellow"),
    ]


def _approval_decided(event: Event, progress: Progress) -> list[Line]:
    decision = event.text("decision") or ("approved" if event.data.get("approved") else "rejected")
    comment = one_line(event.text("comment"), 200)
    return [Line(f"approval: {spaced(decision)}" + (f": {comment}" if comment else ""), "green")]


def _paused(event: Event, progress: Progress) -> list[Line]:
    reason = one_line(event.text("reason"), 200)
    return [
        Line("paused at the end of this step" + (f": {reason}" if reason else ""), "bold yellow"),
        Line(f"    go on with: milepost resume {progress.run_id}{progress.option}", "yellow"),
    ]


def _continued(event: Event, progress: Progress) -> list[Line]:
    return [Line(f"goes on after a pause of {event.number('paused_seconds'):.0f} s", "green")]


def _message_refused(event: Event, progress: Progress) -> list[Line]:
    return [Line(f"message to {event.text('recipient_role')} refused: {_reason_and_message(event)}", "yellow")]


def _restored(event: Event, progress: Progress) -> list[Line]:
    return [Line(f"restored from backup {event.text('backup_id')}", "bold yellow")]


def _completed(event: Event, progress: Progress) -> list[Line]:
    good = progress.outcome == "Completed"
    took = event.time - (progress.started or event.time)
    reason = f": {one_line(progress.reason, 300)}" if progress.reason and not good else ""
    return [Line(f"{progress.outcome or 'ended'} after {took:.1f} s{reason}", "bold green" if good else "bold red")]


def _unknown(event: Event) -> Line:
    data = one_line(json.dumps(dict(event.data), ensure_ascii=False), DATA_LIMIT) if event.data else ""
    return Line(f"{_hop(event)}{event.type} {event.step} {data}".rstrip(), "dim")


def _reason_and_message(event: Event) -> str:
    return one_line(": ".join(part for part in (event.text("reason"), event.text("message")) if part), 300)


def _hop(event: Event) -> str:
    return f"hop {event.hop_index}  " if event.hop_index else ""


TELLERS: Mapping[str, Callable[[Event, Progress], list[Line]]] = {
    "RunAccepted": _accepted,
    "RunStarted": _started,
    "RunResumed": _resumed,
    "Recommended": _recommended,
    "Decided": _decided,
    "StepStarted": _step_started,
    "StepRetried": _step_retried,
    "StepCompleted": _step_completed,
    "StepSkipped": _step_skipped,
    "StepFailed": _step_failed,
    "HopRefused": _hop_refused,
    "ReviewCycle": _review_cycle,
    "MessageSent": _message_sent,
    "MessageRefused": _message_refused,
    "MessageDelivered": lambda event, progress: [],
    "QuestionAsked": _question_asked,
    "QuestionAnswered": _question_answered,
    "ApprovalRequested": _approval_requested,
    "ApprovalDecided": _approval_decided,
    "RunPaused": _paused,
    "RunContinued": _continued,
    "RunRestored": _restored,
    "RunCompleted": _completed,
}
