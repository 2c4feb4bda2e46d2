"""AgentService over gRPC: requests in, committed state out."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import grpc.aio

from milepost.agent.v1 import agent_pb2, agent_pb2_grpc
from milepost_agent.conversion import (
    STATES,
    agent_message,
    event_message,
    run_message,
    timestamp,
)
from milepost_agent.errors import (
    Draining,
    InvalidRequest,
    MessageConflict,
    NotWaiting,
    RunConflict,
    RunNotFound,
    StoreError,
)
from milepost_agent.observability import Mode, ModeRecord, Observability
from milepost_agent.runner import MAX_EVENTS, Runner, check_uuid
from milepost_agent.store import NewMessage, Store
from milepost_service.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from milepost_service.telemetry import traceparent, tracestate

Context = grpc.aio.ServicerContext[object, object]

DEFAULT_PAGE = 50
MAX_PAGE = 500
MAX_REASON = 1024
MAX_COMMENT = 4096
STATE_NAMES = {value: name for name, value in STATES.items()}
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
    except (RunConflict, MessageConflict) as error:
        raise AlreadyExistsError(str(error)) from None
    except NotWaiting as error:
        raise FailedPreconditionError(str(error)) from None
    except (Draining, StoreError) as error:
        raise UnavailableError(str(error)) from None


class AgentServicer(agent_pb2_grpc.AgentServiceServicer):
    """Runs of one workflow."""

    def __init__(self, runner: Runner, store: Store, observability: Observability) -> None:
        self._runner = runner
        self._store = store
        self._observability = observability
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
                record = await self._runner.get(request.run_id)
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
        return agent_pb2.GetRunResponse(run=await self._run(request.run_id))

    async def ListRuns(self, request: agent_pb2.ListRunsRequest, context: Context) -> agent_pb2.ListRunsResponse:
        if not 0 <= request.page_size <= MAX_PAGE:
            raise InvalidArgumentError(f"page_size: {request.page_size} is out of range; allowed: 1 to {MAX_PAGE}")
        if request.page_token and not request.page_token.isdecimal():
            raise InvalidArgumentError("page_token: is not one that this service gave out")
        size = request.page_size or DEFAULT_PAGE
        states = [STATE_NAMES[request.state]] if request.state else []
        before = int(request.page_token) if request.page_token else None
        with status():
            records = await self._store.list_runs(states=states, limit=size + 1, before=before)
        more = str(records[size - 1].number) if len(records) > size else ""
        runs = [run_message(record) for record in records[:size]]
        return agent_pb2.ListRunsResponse(runs=runs, next_page_token=more)

    async def CancelRun(self, request: agent_pb2.CancelRunRequest, context: Context) -> agent_pb2.CancelRunResponse:
        _bounded("reason", request.reason, MAX_REASON)
        with status():
            record = await self._runner.cancel(request.run_id, request.reason)
        return agent_pb2.CancelRunResponse(run=await self._run(record.run_id))

    async def AnswerQuestion(
        self, request: agent_pb2.AnswerQuestionRequest, context: Context
    ) -> agent_pb2.AnswerQuestionResponse:
        with status():
            record = await self._runner.answer(request.run_id, "question", request.question_id, request.answer)
        return agent_pb2.AnswerQuestionResponse(run=await self._run(record.run_id))

    async def DecideApproval(
        self, request: agent_pb2.DecideApprovalRequest, context: Context
    ) -> agent_pb2.DecideApprovalResponse:
        _bounded("comment", request.comment, MAX_COMMENT)
        if not request.decision:
            raise InvalidArgumentError("decision: is not set; allowed: APPROVE, REJECT")
        approved = request.decision == agent_pb2.APPROVAL_DECISION_APPROVE
        answer = {"approved": approved, "comment": request.comment}
        with status():
            record = await self._runner.answer(request.run_id, "approval", request.approval_id, answer)
        return agent_pb2.DecideApprovalResponse(run=await self._run(record.run_id))

    async def SendMessage(
        self, request: agent_pb2.SendMessageRequest, context: Context
    ) -> agent_pb2.SendMessageResponse:
        message = request.message
        with status():
            new = NewMessage(
                message_id=check_uuid("message.message_id", message.message_id),
                sender_role=message.sender_role or "user",
                recipient_role=message.recipient_role,
                payload=message.payload,
                hop_index=message.hop_index,
                traceparent=message.trace_context.traceparent or traceparent(),
                tracestate=message.trace_context.tracestate or tracestate(),
            )
            stored, duplicate = await self._runner.send(request.run_id, new)
        return agent_pb2.SendMessageResponse(message=agent_message(stored), duplicate=duplicate)

    async def GetAgent(self, request: agent_pb2.GetAgentRequest, context: Context) -> agent_pb2.GetAgentResponse:
        workflow = self._runner.workflow
        with status():
            counts = await self._store.count_runs()
        return agent_pb2.GetAgentResponse(
            workflow=workflow.metadata.name,
            workflow_digest=self._runner.digest,
            pattern=workflow.spec.pattern,
            steps=[
                agent_pb2.AgentStep(
                    name=step.name,
                    role=step.role,
                    capability=step.capability or "",
                    service=step.service_ref.name if step.service_ref else "",
                    requires_approval=step.require_approval,
                )
                for step in workflow.spec.steps
            ],
            max_hops=workflow.spec.hop_limit,
            max_cycles=workflow.spec.cycle.max_cycles if workflow.spec.cycle else 0,
            running=counts.get("running", 0) + counts.get("accepted", 0),
            waiting=counts.get("waiting", 0),
            ended=counts.get("ended", 0),
            epoch=self._store.epoch,
            start_time=timestamp(self._start_time),
        )

    async def GetObservability(
        self, request: agent_pb2.GetObservabilityRequest, context: Context
    ) -> agent_pb2.GetObservabilityResponse:
        record = self._observability.record
        response = agent_pb2.GetObservabilityResponse(mode=MODES[record.mode], cause=record.cause)
        _set_until(response, record)
        return response

    async def SetObservability(
        self, request: agent_pb2.SetObservabilityRequest, context: Context
    ) -> agent_pb2.SetObservabilityResponse:
        if request.mode not in MODES.values():
            raise InvalidArgumentError("mode: is not set; allowed: SHIPPING, DEBUG")
        mode: Mode = "debug" if request.mode == MODES["debug"] else "shipping"
        seconds = request.duration.ToTimedelta().total_seconds() if request.HasField("duration") else None
        if seconds is not None and seconds <= 0:
            raise InvalidArgumentError("duration: is not positive; allowed: more than 0 s, or unset")
        with status():
            record = await self._observability.switch(mode, seconds, "SetObservability")
        response = agent_pb2.SetObservabilityResponse(mode=MODES[record.mode])
        _set_until(response, record)
        return response

    async def _run(self, run_id: str) -> agent_pb2.Run:
        with status():
            record = await self._runner.get(run_id)
            events = await self._store.events(record.run_id, limit=MAX_EVENTS)
        return run_message(record, events)


def _bounded(field: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise InvalidArgumentError(f"{field}: has {len(text)} characters; allowed: at most {limit}")


def _set_until(
    response: agent_pb2.GetObservabilityResponse | agent_pb2.SetObservabilityResponse, record: ModeRecord
) -> None:
    if record.until is not None:
        response.until.CopyFrom(timestamp(record.until))
