"""Records of the store as messages of the API."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from milepost.agent.v1 import agent_pb2, message_pb2
from milepost.registry.v1 import registry_pb2
from milepost_agent.clients import usage_from
from milepost_agent.flow import max_cycles
from milepost_agent.nodes.choices import FINISH
from milepost_agent.registry import Entry, Registry
from milepost_agent.store import PAUSED, EventRecord, MessageRecord, RunRecord, Store
from milepost_agent.tracing import run_trace
from milepost_crds import AgentWorkflowSpec
from milepost_service.telemetry.counters import exports

if TYPE_CHECKING:
    from milepost_agent.tracing.exporter import JournalExporter

MAX_OUTPUT_CHARACTERS = 4096

STATES = {
    "accepted": agent_pb2.RUN_STATE_ACCEPTED,
    "running": agent_pb2.RUN_STATE_RUNNING,
    "waiting": agent_pb2.RUN_STATE_WAITING,
    "ended": agent_pb2.RUN_STATE_ENDED,
    "paused": agent_pb2.RUN_STATE_PAUSED,
}
OUTCOMES = {
    "Completed": agent_pb2.RUN_OUTCOME_COMPLETED,
    "ReviewLimitReached": agent_pb2.RUN_OUTCOME_REVIEW_LIMIT_REACHED,
    "HopLimitReached": agent_pb2.RUN_OUTCOME_HOP_LIMIT_REACHED,
    "Cancelled": agent_pb2.RUN_OUTCOME_CANCELLED,
    "Failed": agent_pb2.RUN_OUTCOME_FAILED,
    "NeedsAttention": agent_pb2.RUN_OUTCOME_NEEDS_ATTENTION,
    "TimeLimitReached": agent_pb2.RUN_OUTCOME_TIME_LIMIT_REACHED,
    "WaitTimedOut": agent_pb2.RUN_OUTCOME_WAIT_TIMED_OUT,
}


def timestamp(seconds: float) -> Timestamp:
    """Seconds since the epoch as a Timestamp, to the microsecond."""
    stamp = Timestamp()
    stamp.FromMicroseconds(round(seconds * 1_000_000))
    return stamp


def duration(seconds: float) -> Duration:
    """Seconds as a Duration, to the millisecond."""
    found = Duration()
    found.FromMilliseconds(round(seconds * 1000))
    return found


def trace_context(traceparent: str, tracestate: str = "") -> message_pb2.TraceContext:
    return message_pb2.TraceContext(traceparent=traceparent, tracestate=tracestate)


def run_message(record: RunRecord, events: Sequence[EventRecord] = ()) -> agent_pb2.Run:
    """A run; with its journal, the hops too."""
    trace = run_trace(record.run_id, record.traceparent, record.tracestate)
    run = agent_pb2.Run(
        run_id=record.run_id,
        correlation_id=record.correlation_id,
        workflow=record.workflow,
        workflow_digest=record.workflow_digest,
        prompt=record.prompt,
        state=STATES[record.state if record.paused is None else PAUSED],
        outcome=OUTCOMES.get(record.outcome, agent_pb2.RUN_OUTCOME_UNSPECIFIED),
        reason=record.reason,
        result=record.result,
        remaining_hops=record.remaining_hops,
        max_hops=record.max_hops,
        current_cycle=record.current_cycle,
        max_cycles=record.max_cycles,
        current_step=record.current_step,
        recoveries=record.recoveries,
        last_sequence=record.last_sequence,
        create_time=timestamp(record.create_time),
        update_time=timestamp(record.update_time),
        hops=hop_messages(events),
        trace_context=trace_context(trace.traceparent(trace.root_id), record.tracestate),
        remaining_time=duration(max(record.time_limit - record.elapsed(time.time()), 0.0)),
        restored_from=record.restored_from,
    )
    if record.end_time is not None:
        run.end_time.CopyFrom(timestamp(record.end_time))
    if record.pending and not record.is_answered:
        run.pending_input.CopyFrom(_pending_input(record.pending))
    return run


def event_message(record: EventRecord) -> agent_pb2.RunEvent:
    data = Struct()
    data.update(record.data)
    return agent_pb2.RunEvent(
        sequence=record.sequence,
        run_id=record.run_id,
        correlation_id=record.correlation_id,
        type=record.type,
        time=timestamp(record.time),
        step=record.step,
        hop_index=record.hop_index,
        data=data,
        trace_context=trace_context(record.traceparent),
    )


def agent_message(record: MessageRecord) -> message_pb2.AgentMessage:
    return message_pb2.AgentMessage(
        message_id=record.message_id,
        sender_role=record.sender_role,
        recipient_role=record.recipient_role,
        payload=record.payload,
        hop_index=record.hop_index,
        correlation_id=record.correlation_id,
        trace_context=trace_context(record.traceparent, record.tracestate),
        create_time=timestamp(record.create_time),
    )


def stored_message(record: MessageRecord) -> agent_pb2.StoredMessage:
    return agent_pb2.StoredMessage(message=agent_message(record), delivered=record.delivered, run_id=record.run_id)


def step_messages(spec: AgentWorkflowSpec) -> list[agent_pb2.AgentStep]:
    return [
        agent_pb2.AgentStep(
            name=step.name,
            role=step.role,
            capability=step.capability or "",
            service=step.service_ref.name if step.service_ref else "",
            requires_approval=step.require_approval,
            optional=step.optional,
        )
        for step in spec.steps
    ]


def graph_message(spec: AgentWorkflowSpec) -> agent_pb2.WorkflowGraph:
    """The shape of a workflow."""
    return agent_pb2.WorkflowGraph(
        pattern=spec.pattern,
        steps=step_messages(spec),
        cycle_from=spec.cycle.from_ if spec.cycle else "",
        cycle_to=spec.cycle.to if spec.cycle else "",
        max_hops=spec.hop_limit,
        max_cycles=max_cycles(spec),
    )


def hop_messages(events: Sequence[EventRecord]) -> list[agent_pb2.Hop]:
    """Hops in order, each put together from the events of recommend, arbitrate and step."""
    hops: dict[tuple[int, str], agent_pb2.Hop] = {}
    for event in events:
        if event.type not in _HOP_PARTS or not event.hop_index:
            continue
        key = (event.hop_index, event.step)
        hop = hops.setdefault(key, agent_pb2.Hop(hop_index=event.hop_index, step=event.step))
        if not hop.HasField("start_time"):
            hop.start_time.CopyFrom(timestamp(event.time))
        _HOP_PARTS[event.type](hop, event)
    return list(hops.values())


def store_status(store: Store, last_backup: float | None) -> agent_pb2.StoreStatus:
    size, log = store.sizes()
    counters = store.counters
    status = agent_pb2.StoreStatus(
        failure="" if store.failure is None else str(store.failure),
        size_bytes=size,
        wal_bytes=log,
        commits=counters.commits,
        writes=counters.items,
        commit_ms=1000 * counters.commit_seconds / max(counters.commits, 1),
        fsync_ms=1000 * store.sync_seconds,
        commit_p95_ms=1000 * counters.commit_quantile(0.95),
    )
    if last_backup is not None:
        status.last_backup_time.CopyFrom(timestamp(last_backup))
    return status


def telemetry_status(spans: "JournalExporter | None") -> agent_pb2.TelemetryStatus:
    """How export is doing in this process; `spans` is None where none are exported."""
    return agent_pb2.TelemetryStatus(
        endpoint="" if spans is None else spans.endpoint,
        exported_spans=exports.exported.get("spans", 0),
        dropped=sum(exports.dropped.values()),
        lag_events=0 if spans is None else spans.lag(),
        failure=exports.failure,
    )


def service_message(registry: Registry, entry: Entry) -> registry_pb2.Service:
    ready = registry_pb2.SERVICE_STATE_READY if entry.healthy else registry_pb2.SERVICE_STATE_NOT_READY
    service = registry_pb2.Service(
        name=entry.name,
        target=entry.target,
        capabilities=entry.capabilities,
        description=entry.description,
        examples=entry.examples,
        state=registry_pb2.SERVICE_STATE_GONE if entry.gone else ready,
        usage=registry_pb2.Usage(**asdict(entry.usage)),
        details=dict(entry.details),
    )
    if entry.lease_expires:
        service.lease_expire_time.CopyFrom(lease_expire_time(registry, entry))
    return service


def lease_expire_time(registry: Registry, entry: Entry) -> Timestamp:
    """When a lease ends by the time of the day as it is now."""
    return timestamp(time.time() + registry.lease_left(entry))


def entry_from(service: registry_pb2.Service) -> Entry:
    return Entry(
        name=service.name,
        target=service.target,
        capabilities=tuple(service.capabilities),
        description=service.description,
        examples=tuple(service.examples),
        details=dict(service.details),
        usage=usage_from(service.usage),
    )


def _pending_input(pending: dict[str, Any]) -> agent_pb2.PendingInput:
    fields = {key: value for key, value in pending.items() if key not in ("kind", "expires")}
    expires = timestamp(pending["expires"]) if "expires" in pending else None
    if pending["kind"] == "question":
        return agent_pb2.PendingInput(question=agent_pb2.Question(**fields), expire_time=expires)
    return agent_pb2.PendingInput(approval=agent_pb2.Approval(**fields), expire_time=expires)


def _recommended(hop: agent_pb2.Hop, event: EventRecord) -> None:
    hop.recommendation.CopyFrom(ParseDict(event.data, agent_pb2.Recommendation(), ignore_unknown_fields=True))


def _decided(hop: agent_pb2.Hop, event: EventRecord) -> None:
    hop.decision.CopyFrom(ParseDict(event.data, agent_pb2.Decision(), ignore_unknown_fields=True))
    hop.service = hop.decision.service
    if hop.decision.action == FINISH:
        _ended(hop, event)


def _completed(hop: agent_pb2.Hop, event: EventRecord) -> None:
    # What an older release journaled may lack what was added since.
    hop.role = event.data.get("role", "")
    hop.service = event.data.get("service", "")
    hop.output = event.data.get("output", "")[:MAX_OUTPUT_CHARACTERS]
    hop.verdict = event.data.get("verdict", "")
    hop.cycle = event.data.get("cycle", 0)
    hop.end_time.CopyFrom(timestamp(event.time))


def _ended(hop: agent_pb2.Hop, event: EventRecord) -> None:
    hop.end_time.CopyFrom(timestamp(event.time))


_HOP_PARTS = {
    "Recommended": _recommended,
    "Decided": _decided,
    "StepCompleted": _completed,
    "StepSkipped": _ended,
    "StepFailed": _ended,
}
