"""AgentService over gRPC: requests in, committed state out."""

import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import grpc.aio

from milepost.agent.v1 import agent_pb2, agent_pb2_grpc
from milepost_agent.backups import Backups
from milepost_agent.conversion import (
    OUTCOMES,
    STATES,
    agent_message,
    event_message,
    graph_message,
    run_message,
    store_status,
    stored_message,
    telemetry_status,
    timestamp,
)
from milepost_agent.errors import (
    AnsweredDifferently,
    Draining,
    InvalidRequest,
    MessageConflict,
    NotWaiting,
    RequestConflict,
    RunConflict,
    RunNotFound,
    StoreError,
)
from milepost_agent.observability import Observability
from milepost_agent.observability_rules import ModeRecord
from milepost_agent.requests import check_length, check_text, check_uuid, once
from milepost_agent.runner import Runner
from milepost_agent.steering import MAX_EVENTS, Steering
from milepost_agent.store import NewMessage, RunFilter, Store
from milepost_agent.tracing.epochs import STARTED
from milepost_service.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from milepost_service.telemetry import traceparent, tracestate
from milepost_service.telemetry.mode import Mode

if TYPE_CHECKING:
    from milepost_agent.tracing.exporter import JournalExporter

Context = grpc.aio.ServicerContext[object, object]

DEFAULT_PAGE = 50
MAX_PAGE = 500
MAX_STARTS = 100
ANSWER_BYTES = 2 * 1024 * 1024  # half of what a gRPC client takes by default
TOKEN_DIGITS = 18
MAX_QUERY = 256
MAX_REASON = 1024
MAX_COMMENT = 4096
MAX_ROLE = 63
MAX_CAUSE = 63
LONGEST_DEBUG = 7 * 24 * 3600.0
STATE_NAMES: Mapping[int, str] = {value: name for name, value in STATES.items()}
OUTCOME_NAMES: Mapping[int, str] = {value: name for name, value in OUTCOMES.items()}
Fitted = TypeVar("Fitted", agent_pb2.Run, agent_pb2.StoredMessage)
MODES: dict[Mode, agent_pb2.ObservabilityMode] = {
    "shipping": agent_pb2.OBSERVABILITY_MODE_SHIPPING,
    "debug": agent_pb2.OBSERVABILITY_MODE_DEBUG,
}


@contextmanager
def status() -> Iterator[None]:
    """The agent's errors as gRPC statuses."""
    try:
        yield
    except InvalidRequest as error:
        raise InvalidArgumentError(str(error)) from None
    except RunNotFound as error:
        raise NotFoundError(str(error)) from None
    except (RunConflict, MessageConflict, RequestConflict, AnsweredDifferently) as error:
        raise AlreadyExistsError(str(error)) from None
    except NotWaiting as error:
        raise FailedPreconditionError(str(error)) from None
    except (Draining, StoreError) as error:
        raise UnavailableError(str(error)) from None


class AgentServicer(agent_pb2_grpc.AgentServiceServicer):
    """Runs of one workflow."""

    def __init__(
        self,
        runner: Runner,
        steering: Steering,
        store: Store,
        observability: Observability,
        backups: Backups,
        spans: "JournalExporter | None" = None,
    ) -> None:
        self._runner = runner
        self._steering = steering
        self._store = store
        self._observability = observability
        self._backups = backups
        self._spans = spans
        self._start_time = time.time()

    async def StartRun(self, request: agent_pb2.StartRunRequest, context: Context) -> agent_pb2.StartRunResponse:
        name = self._runner.workflow.metadata.name
        if request.workflow not in ("", name):
            raise NotFoundError(f"workflow: this agent serves {name}, not {request.workflow!r}")
        caller = request.trace_context
        with status():
            record, existing = await self._runner.accept(
                request.prompt,
                request.correlation_id,
                caller.traceparent or traceparent(),
                caller.tracestate or tracestate(),
            )
        return agent_pb2.StartRunResponse(run=run_message(record), existing=existing)

    async def WatchRun(
        self, request: agent_pb2.WatchRunRequest, context: Context
    ) -> AsyncIterator[agent_pb2.WatchRunResponse]:
        run_id = None
        with status():
            if request.run_id:
                record = await self._runner.get(check_uuid("run_id", request.run_id))
                run_id = record.run_id
                if record.state == "ended" and request.after_sequence >= record.last_sequence:
                    return
            async for event in self._store.watch(run_id, after=request.after_sequence):
                yield agent_pb2.WatchRunResponse(event=event_message(event))
                if run_id and event.type == "RunCompleted":
                    return
            if run_id:
                # Retention removed it while it was watched, or else the agent stops.
                await self._runner.get(run_id)

    async def GetRun(self, request: agent_pb2.GetRunRequest, context: Context) -> agent_pb2.GetRunResponse:
        with status():
            run_id = check_uuid("run_id", request.run_id)
        run = await self._run(run_id)
        with status():
            spec = await self._runner.spec(run.workflow_digest)
            starts = await self._store.own_events_during(STARTED, run.run_id, MAX_STARTS)
        graph = None if spec is None else graph_message(spec)
        return agent_pb2.GetRunResponse(run=run, graph=graph, process_starts=map(event_message, starts))

    async def ListRuns(self, request: agent_pb2.ListRunsRequest, context: Context) -> agent_pb2.ListRunsResponse:
        size, before = _page(request.page_size, request.page_token)
        with status():
            check_length("query", request.query, MAX_QUERY)
            wanted = RunFilter(
                (_named("state", request.state, STATE_NAMES),) if request.state else (),
                _named("outcome", request.outcome, OUTCOME_NAMES) if request.outcome else "",
                request.query.strip(),
            )
            page = await self._store.find_runs(wanted, limit=size, before=before)
        runs = fitting([run_message(record) for record in page.runs])
        more = page.runs[len(runs) - 1].number if len(runs) < len(page.runs) else page.before
        return agent_pb2.ListRunsResponse(runs=runs, next_page_token=_token(more))

    async def CancelRun(self, request: agent_pb2.CancelRunRequest, context: Context) -> agent_pb2.CancelRunResponse:
        with status():
            check_length("reason", request.reason, MAX_REASON)
            run_id = check_uuid("run_id", request.run_id)
            known = once(request.request_id, "CancelRun", run_id, request.reason)
            record = await self._steering.cancel(run_id, request.reason, known)
        return agent_pb2.CancelRunResponse(run=await self._run(record.run_id))

    async def PauseRun(self, request: agent_pb2.PauseRunRequest, context: Context) -> agent_pb2.PauseRunResponse:
        with status():
            check_length("reason", request.reason, MAX_REASON)
            run_id = check_uuid("run_id", request.run_id)
            known = once(request.request_id, "PauseRun", run_id, request.reason)
            record = await self._steering.pause(run_id, request.reason, known)
        return agent_pb2.PauseRunResponse(run=await self._run(record.run_id))

    async def ResumeRun(self, request: agent_pb2.ResumeRunRequest, context: Context) -> agent_pb2.ResumeRunResponse:
        with status():
            run_id = check_uuid("run_id", request.run_id)
            record = await self._steering.resume(run_id, once(request.request_id, "ResumeRun", run_id))
        return agent_pb2.ResumeRunResponse(run=await self._run(record.run_id))

    async def AnswerQuestion(
        self, request: agent_pb2.AnswerQuestionRequest, context: Context
    ) -> agent_pb2.AnswerQuestionResponse:
        with status():
            check_text("answer", request.answer)
            run_id = check_uuid("run_id", request.run_id)
            question_id = check_uuid("question_id", request.question_id)
            record = await self._steering.answer(run_id, "question", question_id, request.answer)
        return agent_pb2.AnswerQuestionResponse(run=await self._run(record.run_id))

    async def DecideApproval(
        self, request: agent_pb2.DecideApprovalRequest, context: Context
    ) -> agent_pb2.DecideApprovalResponse:
        if not request.decision:
            raise InvalidArgumentError("decision: is not set; allowed: APPROVE, REJECT")
        approved = request.decision == agent_pb2.APPROVAL_DECISION_APPROVE
        with status():
            check_length("comment", request.comment, MAX_COMMENT)
            run_id = check_uuid("run_id", request.run_id)
            approval_id = check_uuid("approval_id", request.approval_id)
            answer = {"approved": approved, "comment": request.comment}
            record = await self._steering.answer(run_id, "approval", approval_id, answer)
        return agent_pb2.DecideApprovalResponse(run=await self._run(record.run_id))

    async def SendMessage(
        self, request: agent_pb2.SendMessageRequest, context: Context
    ) -> agent_pb2.SendMessageResponse:
        message = request.message
        with status():
            new = NewMessage(
                message_id=check_uuid("message.message_id", message.message_id or str(uuid.uuid4())),
                sender_role=message.sender_role or "user",
                recipient_role=message.recipient_role,
                payload=message.payload,
                hop_index=message.hop_index,
                traceparent=message.trace_context.traceparent or traceparent(),
                tracestate=message.trace_context.tracestate or tracestate(),
            )
            check_length("message.sender_role", new.sender_role, MAX_ROLE)
            stored, duplicate = await self._steering.send(check_uuid("run_id", request.run_id), new)
        return agent_pb2.SendMessageResponse(message=agent_message(stored), duplicate=duplicate)

    async def ListMessages(
        self, request: agent_pb2.ListMessagesRequest, context: Context
    ) -> agent_pb2.ListMessagesResponse:
        if not request.run_id:
            return await self._newest_messages(request)
        with status():
            record = await self._runner.get(check_uuid("run_id", request.run_id))
            messages = await self._store.messages(record.run_id)
        return agent_pb2.ListMessagesResponse(messages=[stored_message(message) for message in messages])

    async def _newest_messages(self, request: agent_pb2.ListMessagesRequest) -> agent_pb2.ListMessagesResponse:
        size, before = _page(request.page_size, request.page_token)
        with status():
            records = await self._store.newest_messages(limit=size + 1, before=before)
        messages = fitting([stored_message(record) for record in records[:size]])
        more = records[len(messages) - 1].sequence if len(messages) < len(records) else None
        return agent_pb2.ListMessagesResponse(messages=messages, next_page_token=_token(more))

    async def GetAgent(self, request: agent_pb2.GetAgentRequest, context: Context) -> agent_pb2.GetAgentResponse:
        workflow = self._runner.workflow
        with status():
            counts = await self._store.count_runs()
            last_sequence = await self._store.last_sequence()
        graph = graph_message(workflow.spec)
        return agent_pb2.GetAgentResponse(
            workflow=workflow.metadata.name,
            workflow_digest=self._runner.digest,
            pattern=graph.pattern,
            steps=graph.steps,
            max_hops=graph.max_hops,
            max_cycles=graph.max_cycles,
            cycle_from=graph.cycle_from,
            cycle_to=graph.cycle_to,
            running=counts.get("running", 0) + counts.get("accepted", 0),
            waiting=counts.get("waiting", 0),
            paused=counts.get("paused", 0),
            ended=counts.get("ended", 0),
            epoch=self._store.epoch,
            start_time=timestamp(self._start_time),
            store=store_status(self._store, self._backups.last_time),
            last_sequence=last_sequence,
            telemetry=telemetry_status(self._spans),
        )

    async def GetObservability(
        self, request: agent_pb2.GetObservabilityRequest, context: Context
    ) -> agent_pb2.GetObservabilityResponse:
        record = self._observability.record
        response = agent_pb2.GetObservabilityResponse(
            mode=MODES[record.mode], cause=record.cause, telemetry=telemetry_status(self._spans)
        )
        _set_until(response, record)
        return response

    async def SetObservability(
        self, request: agent_pb2.SetObservabilityRequest, context: Context
    ) -> agent_pb2.SetObservabilityResponse:
        if request.mode not in MODES.values():
            raise InvalidArgumentError("mode: is not set; allowed: SHIPPING, DEBUG")
        mode: Mode = "debug" if request.mode == MODES["debug"] else "shipping"
        seconds = request.duration.ToTimedelta().total_seconds() if request.HasField("duration") else None
        if seconds is not None and not 0 < seconds <= LONGEST_DEBUG:
            raise InvalidArgumentError(f"duration: is {seconds:g} s; allowed: more than 0 s, at most 7 days, or unset")
        with status():
            check_length("cause", request.cause, MAX_CAUSE)
            known = once(request.request_id, "SetObservability", mode, str(seconds), *filter(None, [request.cause]))
            record = await self._observability.switch(mode, seconds, request.cause or "SetObservability", known)
        response = agent_pb2.SetObservabilityResponse(mode=MODES[record.mode])
        _set_until(response, record)
        return response

    async def _run(self, run_id: str) -> agent_pb2.Run:
        with status():
            record = await self._runner.get(run_id)
            events = await self._store.events(record.run_id, limit=MAX_EVENTS)
        return run_message(record, events)


def fitting(messages: Sequence[Fitted]) -> Sequence[Fitted]:
    """As many of the first ones as go into one answer, but one at least: texts may be long, and callers have limits."""
    size = 0
    for number, message in enumerate(messages):
        size += message.ByteSize()
        if number and size > ANSWER_BYTES:
            return messages[:number]
    return messages


def _page(size: int, token: str) -> tuple[int, int | None]:
    """Size of the page that is asked for, and the exclusive bound where it begins."""
    if not 0 <= size <= MAX_PAGE:
        raise InvalidArgumentError(f"page_size: {size} is out of range; allowed: 1 to {MAX_PAGE}")
    if not token:
        return size or DEFAULT_PAGE, None
    if not (token.isascii() and token.isdecimal() and len(token) <= TOKEN_DIGITS):
        raise InvalidArgumentError("page_token: is not one that this service gave out")
    return size or DEFAULT_PAGE, int(token)


def _token(before: int | None) -> str:
    return "" if before is None else str(before)


def _named(field: str, value: int, names: Mapping[int, str]) -> str:
    if value not in names:
        raise InvalidArgumentError(f"{field}: {value} is not known; allowed: {', '.join(names.values())}")
    return names[value]


def _set_until(
    response: agent_pb2.GetObservabilityResponse | agent_pb2.SetObservabilityResponse, record: ModeRecord
) -> None:
    if record.until is not None:
        response.until.CopyFrom(timestamp(record.until))
