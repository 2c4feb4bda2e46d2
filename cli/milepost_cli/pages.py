"""The answers of `milepost get`: tables and one page for a run; wide enough for a file, fitted on a terminal."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from milepost.agent.v1 import agent_pb2, backup_pb2
from milepost.registry.v1 import registry_pb2
from milepost_cli.backend import Readiness, ServiceRow, WorkflowRow
from milepost_cli.decisions import (
    NEITHER,
    REASON_LIMIT,
    decision_style,
    decision_text,
    path_text,
    recommendation_text,
)
from milepost_cli.statistics import percentile, router_times
from milepost_cli.text import first_lines, milliseconds, one_line, printable
from milepost_cli.views import write_line
from milepost_service.json_form import enum_field, local_time, seconds_between

FILE_WIDTH = 400
OUTPUT_LINES = 6
MODEL_FACTS = ("model", "contextTokens", "sequences", "threads")
"""What a service tells of its model, in the order of the columns; one without a model of its own tells less."""
STATE_STYLE = {"running": "cyan", "waiting": "yellow", "paused": "yellow", "accepted": "dim", "ready": "green"}


@contextlib.contextmanager
def page() -> Iterator[Console]:
    """A console that fits the terminal; for a file or a pipe a wide one, so that nothing is cut, without padding."""
    if sys.stdout.isatty():
        yield Console(highlight=False)
        return
    collected = io.StringIO()
    yield Console(file=collected, highlight=False, width=FILE_WIDTH)
    for line in collected.getvalue().splitlines():
        write_line(line.rstrip())


def runs_table(runs: Iterable[agent_pb2.Run]) -> Table:
    table = _table("RUN", "WORKFLOW", "STATE", "HOPS", "CYCLE", "BEGUN", "TOOK", "PROMPT")
    for run in runs:
        state = run_state(run)
        hops = f"{run.max_hops - run.remaining_hops}/{run.max_hops}"
        cycle = f"{run.current_cycle}/{run.max_cycles}" if run.max_cycles else "-"
        begun = when(local_time(run.create_time))
        table.add_row(
            run.run_id,
            run.workflow,
            Text(f"{state}, restored" if run.restored_from else state, style=state_style(state)),
            hops,
            cycle,
            begun,
            duration(run),
            one_line(run.prompt, 40),
        )
    return table


def services_table(rows: Sequence[ServiceRow]) -> Table:
    """What the operator says of a service is shown where there is one."""
    operated = any(row.ready is not None for row in rows)
    table = _table(
        "SERVICE",
        *(("READY",) if operated else ()),
        *("STATE", "CAPABILITIES", "MODEL", "CONTEXT", "SEQUENCES", "THREADS", "CPU", "MEMORY"),
        *("TOKENS/S", "CALLS", "QUEUE", "RESTARTS", "TARGET"),
        *(("REASON",) if operated else ()),
        "DESCRIPTION",
    )
    for row in rows:
        service = row.service
        state = enum_field(service, "state") or "unknown"
        table.add_row(
            service.name,
            *((_ready_cell(row.ready),) if operated else ()),
            Text(state, style=state_style(state)),
            ", ".join(service.capabilities),
            *(one_line(service.details[fact]) if fact in service.details else "-" for fact in MODEL_FACTS),
            *_usage_cells(service),
            str(row.restarts),
            service.target,
            *((_why_not_ready(row.ready),) if operated else ()),
            one_line(service.description, 60),
        )
    return table


def messages_table(messages: Iterable[agent_pb2.StoredMessage], *, with_runs: bool = False) -> Table:
    table = _table(*(("RUN",) if with_runs else ()), "SENT", "FROM", "TO", "HOP", "DELIVERED", "MESSAGE")
    for stored in messages:
        message = stored.message
        table.add_row(
            *((stored.run_id,) if with_runs else ()),
            when(local_time(message.create_time)),
            message.sender_role,
            message.recipient_role,
            str(message.hop_index) if message.hop_index else "-",
            "yes" if stored.delivered else "no",
            one_line(message.payload, 120),
        )
    return table


def backups_table(rows: Sequence[tuple[str, backup_pb2.Backup]]) -> Table:
    """Backups with the pod that each belongs to; the pod is empty outside of a cluster."""
    in_pods = any(pod for pod, _ in rows)
    table = _table(
        *(("POD",) if in_pods else ()), "BACKUP", "MADE", "CAUSE", "RUNS", "EVENT", "MIB", "SHA256", "DAMAGE"
    )
    for pod, backup in rows:
        table.add_row(
            *((pod,) if in_pods else ()),
            backup.backup_id,
            when(local_time(backup.create_time)) if backup.HasField("create_time") else "-",
            backup.cause or "-",
            str(backup.runs),
            str(backup.last_sequence),
            f"{backup.size_bytes / 2**20:.1f}",
            backup.sha256[:12],
            Text(backup.damage, style="red"),
        )
    return table


def _usage_cells(service: registry_pb2.Service) -> tuple[str, str, str, str, str]:
    """CPU cores and memory, each with its limit, tokens a second, and calls that are worked on and that wait."""
    usage = service.usage
    if not usage.memory_bytes:
        return "-", "-", "-", "-", "-"
    cores = f" of {usage.cpu_limit_cores:g}" if usage.cpu_limit_cores else ""
    limit = f" of {usage.memory_limit_bytes / 2**20:.0f}" if usage.memory_limit_bytes else ""
    return (
        f"{usage.cpu_cores:.2f}{cores}",
        f"{usage.memory_bytes / 2**20:.0f}{limit} MiB",
        f"{usage.tokens_per_second:.1f}" if usage.tokens_per_second else "-",
        str(usage.active_calls),
        str(usage.queued_calls),
    )


def modes_table(rows: Sequence[tuple[str, agent_pb2.GetObservabilityResponse]]) -> Table:
    """Agents with their observability mode, until when it holds, and why; and where their telemetry goes."""
    table = _table("AGENT", "MODE", "UNTIL", "CAUSE", "TELEMETRY")
    for name, answer in rows:
        until = when(local_time(answer.until)) if answer.HasField("until") else "-"
        mode = enum_field(answer, "mode") or "unknown"
        table.add_row(name, mode, until, one_line(answer.cause, 63), _telemetry_text(answer.telemetry))
    return table


def _telemetry_text(telemetry: agent_pb2.TelemetryStatus) -> str:
    parts = [telemetry.endpoint or "-"]
    if telemetry.dropped:
        parts.append(f"{telemetry.dropped} dropped")
    if telemetry.failure:
        parts.append(one_line(telemetry.failure, 120))
    return ", ".join(parts)


def workflows_table(rows: Sequence[WorkflowRow]) -> Table:
    """What the operator says of a workflow is shown where there is one."""
    operated = any(row.ready is not None for row in rows)
    table = _table(
        "WORKFLOW",
        *(("READY", "PODS") if operated else ()),
        *("PATTERN", "STEPS", "MAX HOPS", "CYCLES", "RUNNING", "WAITING", "PAUSED", "ENDED", "TARGET"),
        *(("REASON",) if operated else ()),
    )
    for row in rows:
        workflow = row.workflow
        pods = f"{len(row.pods) - len(row.away)}/{len(row.pods)}"
        table.add_row(
            workflow.workflow,
            *((_ready_cell(row.ready), pods) if operated else ()),
            workflow.pattern,
            " > ".join(step.name for step in workflow.steps),
            str(workflow.max_hops),
            str(workflow.max_cycles) if workflow.max_cycles else "-",
            str(workflow.running),
            str(workflow.waiting),
            str(workflow.paused),
            str(workflow.ended),
            row.target,
            *((_why_not_ready(row.ready),) if operated else ()),
        )
    return table


def _ready_cell(ready: Readiness | None) -> Text:
    status = ready.status if ready is not None else "-"
    return Text(status, style={"True": "green", "False": "red"}.get(status, "yellow"))


def _why_not_ready(ready: Readiness | None) -> str:
    if ready is None or ready.status == "True":
        return ""
    return one_line(": ".join(part for part in (ready.reason, ready.message) if part), 300)


def print_run(out: Console, run: agent_pb2.Run, option: str, pod: str = "") -> None:
    """Everything about one run: facts, hops with recommendation beside decision, times as measured, result.

    `option` ends the commands that are shown; `pod` is where the run belongs, if it is one.
    """
    state = run_state(run)
    out.print(Text.assemble((f"run {run.run_id}  ", "bold"), (state, f"bold {state_style(state)}")))
    facts = Table.grid(padding=(0, 2))
    for name, value in (*_facts(run), *((("pod", pod),) if pod else ())):
        facts.add_row(Text(name, style="dim"), Text(printable(value)))
    out.print(Padding(facts, (0, 0, 1, 2)))
    for hop in run.hops:
        _print_hop(out, hop, under_way=not run.outcome)
    out.print(Text(router_time_text(run), style="bold"))
    _print_pending(out, run, option)
    if run.result:
        out.print(Text("result", style="bold"))
        out.print(Padding(Text(printable(run.result).strip()), (0, 0, 0, 2)))


def router_time_text(run: agent_pb2.Run) -> str:
    """ "router time over 4 hops: p95 14.2 ms, longest 14.2 ms (embedding)"."""
    times = router_times(run)
    if not times:
        return "router time: no hop yet"
    paths = ", ".join(sorted({hop.recommendation.path for hop in run.hops if hop.recommendation.path}))
    hops = f"{len(times)} hop" + ("s" if len(times) != 1 else "")
    p95 = milliseconds(percentile(times, 0.95))
    return f"router time over {hops}: p95 {p95}, longest {milliseconds(max(times))} ({paths})"


def run_state(run: agent_pb2.Run) -> str:
    """The outcome of a run that has ended, else its state."""
    return enum_field(run, "outcome") or enum_field(run, "state")


def state_style(state: str) -> str:
    return STATE_STYLE.get(state, "green" if state == "Completed" else "red")


def duration(run: agent_pb2.Run) -> str:
    if not run.HasField("end_time"):
        return "-"
    return f"{seconds_between(run.create_time, run.end_time):.1f} s"


def when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _facts(run: agent_pb2.Run) -> Sequence[tuple[str, str]]:
    cycle = f", review cycle {run.current_cycle} of {run.max_cycles}" if run.max_cycles else ""
    facts = [
        ("workflow", f"{run.workflow} ({run.workflow_digest[:12]})"),
        ("prompt", one_line(run.prompt, 300)),
        ("begun", when(local_time(run.create_time))),
        ("took", duration(run)),
        ("hops", f"{run.max_hops - run.remaining_hops} made, {run.remaining_hops} of {run.max_hops} remain{cycle}"),
        *(() if run.outcome else (("time", f"{run.remaining_time.ToTimedelta().total_seconds():.0f} s remain"),)),
        ("step", run.current_step or "-"),
        ("resumed", f"{run.recoveries} times" if run.recoveries != 1 else "once"),
        ("correlation", run.correlation_id),
    ]
    if run.restored_from:
        facts.append(("restored", f"from backup {run.restored_from}"))
    return [*facts, ("reason", one_line(run.reason, 500))] if run.reason else facts


def _print_hop(out: Console, hop: agent_pb2.Hop, *, under_way: bool) -> None:
    """One hop: what was recommended, what was decided on it and why, and what came of it."""
    action = hop.decision.action
    done = NEITHER[action] if action in NEITHER and not hop.output else f"by {hop.service}" if hop.service else ""
    cycle = f"  review cycle {hop.cycle}" if hop.cycle else ""
    verdict = f"  verdict {hop.verdict}" if hop.verdict else ""
    head = f"hop {hop.hop_index}  {hop.step}{f' ({hop.role})' if hop.role else ''} {done}{cycle}{verdict}".rstrip()
    took = f"{seconds_between(hop.start_time, hop.end_time):.1f} s" if hop.HasField("end_time") else ""
    out.print(Text.assemble((head, "bold"), (f"  {took or ('under way' if under_way else 'not done')}", "dim")))
    rows = Table.grid(padding=(0, 2))
    rows.add_column(no_wrap=True)
    rows.add_column()
    for name, text, style in (*_recommended_rows(hop.recommendation), *_decided_rows(hop.decision)):
        rows.add_row(Text(name, style="dim"), Text(text, style=style))
    if hop.output:
        rows.add_row(Text("output", style="dim"), Text("\n".join(first_lines(hop.output, OUTPUT_LINES))))
    out.print(Padding(rows, (0, 0, 1, 2)))


def _recommended_rows(recommendation: agent_pb2.Recommendation) -> Iterator[tuple[str, str, str]]:
    """Name, text and style; nothing while nothing was recommended."""
    if not recommendation.path:
        return
    scored = [
        {"service": one.service, "capability": one.capability, "confidence": one.confidence}
        for one in recommendation.services
    ]
    text = recommendation_text(scored, recommendation.none_probability)
    took = path_text(recommendation.path, recommendation.duration_ms)
    yield "router recommends", f"{text}  {took}", "cyan"
    if recommendation.reasoning:
        yield "  because", one_line(recommendation.reasoning, REASON_LIMIT), "dim"
    if recommendation.fallback_reason:
        yield "  fallback", one_line(recommendation.fallback_reason, REASON_LIMIT), "yellow"


def _decided_rows(decision: agent_pb2.Decision) -> Iterator[tuple[str, str, str]]:
    if not decision.action:
        return
    choices = [{"probability": one.probability} for one in decision.choices]
    text = decision_text(decision.action, decision.service, decision.agreed, choices)
    style = decision_style(decision.action, decision.agreed)
    yield "arbitrator decides", f"{text}  [{milliseconds(decision.duration_ms)}]", style
    if decision.reason:
        yield "  because", one_line(decision.reason, REASON_LIMIT), "dim"


def _print_pending(out: Console, run: agent_pb2.Run, option: str) -> None:
    if enum_field(run, "state") == "paused":
        out.print(Text("is paused", style="bold yellow"))
        out.print(Text(f"  milepost resume {run.run_id}{option}"))
    kind = run.pending_input.WhichOneof("kind")
    if kind == "question":
        question = run.pending_input.question
        out.print(Text(f"waits for an answer: {printable(question.text)}", style="bold yellow"))
        out.print(Text(f'  milepost answer {run.run_id} {question.question_id} "your answer"{option}'))
    elif kind == "approval":
        approval = run.pending_input.approval
        out.print(Text(f"waits for an approval: {printable(approval.text or approval.step)}", style="bold yellow"))
        out.print(Text(f"  milepost approve {run.run_id} {approval.approval_id}{option} [--reject] [--comment TEXT]"))


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=not sys.stdout.isatty())
    return table
