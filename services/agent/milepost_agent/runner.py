"""Accepts runs and drives them: every run is one task on the event loop, and can be resumed at any time."""

import asyncio
import contextlib
import hashlib
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from langgraph.types import Command

from milepost_agent.driver import Driver
from milepost_agent.errors import AgentError, Draining, InvalidRequest, NotWaiting, RunNotFound, StoreError
from milepost_agent.failpoints import failpoint
from milepost_agent.flow import CANCELLED, FAILED, max_cycles
from milepost_agent.graph import build_graph, initial_state, run_config
from milepost_agent.nodes import NodeDependencies
from milepost_agent.state import RunContext
from milepost_agent.store import MessageRecord, NewEvent, NewMessage, NewRun, RunRecord
from milepost_crds import AgentWorkflow, AgentWorkflowSpec
from milepost_crds.units import parse_duration
from milepost_service.correlation import correlation
from milepost_service.servicer import PROMPT_BYTES
from milepost_service.telemetry import context_from, tracer

log = logging.getLogger(__name__)

MAX_CONCURRENT_RUNS = 256
MAX_EVENTS = 2_000
ANSWER_EVENTS = ("QuestionAnswered", "ApprovalDecided")


@dataclass
class Drive:
    """A run that is being driven."""

    task: asyncio.Task[None]
    control: RunControl


class Runner:
    """The runs of one agent."""

    def __init__(
        self, workflow: AgentWorkflow, dependencies: NodeDependencies, now: Callable[[], float] = time.time
    ) -> None:
        self.workflow = workflow
        self.digest = workflow_digest(workflow.spec)
        self._dependencies = dependencies
        self._store = dependencies.store
        self._now = now
        self._graphs: dict[str, tuple[AgentWorkflowSpec, Driver]] = {}
        self._drives: dict[str, Drive] = {}
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_RUNS)
        self._draining = False

    async def start(self) -> None:
        """Stores the workflow by its digest, so that runs stay pinned to it when it changes."""
        await self._store.put_workflow(self.digest, self.workflow.spec.model_dump_json(by_alias=True))

    async def accept(
        self, prompt: str, correlation_id: str = "", traceparent: str = "", tracestate: str = ""
    ) -> tuple[RunRecord, bool]:
        """Commits a run and starts it. The same request again gives the same run and True.

        Raises:
            InvalidRequest: the prompt or the correlation id is not allowed.
            RunConflict: the correlation id belongs to another request.
            Draining: the agent is stopping.
        """
        if self._draining:
            raise Draining("the agent is stopping; try again at its successor")
        check_text("prompt", prompt)
        correlation_id = check_uuid("correlation_id", correlation_id)
        spec = self.workflow.spec
        record, existing = await self._store.accept_run(
            NewRun(
                run_id=str(uuid.uuid4()),
                correlation_id=correlation_id,
                request_hash=hashlib.sha256(prompt.encode()).hexdigest(),
                workflow=self.workflow.metadata.name,
                workflow_digest=self.digest,
                prompt=prompt,
                max_hops=spec.hop_limit,
                max_cycles=max_cycles(spec),
                traceparent=traceparent,
                tracestate=tracestate,
            )
        )
        failpoint("run.accepted")
        if not existing:
            self.drive(record)
        return record, existing

    def drive(self, record: RunRecord) -> None:
        """Goes on with a run from its last checkpoint, or from its beginning."""
        if record.run_id in self._drives or self._draining:
            return
        control = RunControl()
        task = asyncio.create_task(self._drive(record, control), name=f"run-{record.run_id}")
        self._drives[record.run_id] = Drive(task, control)
        task.add_done_callback(lambda _: self._drives.pop(record.run_id, None))

    async def cancel(self, run_id: str, reason: str) -> RunRecord:
        """Ends a run as Cancelled and stops the call that it is in.

        Raises:
            RunNotFound: there is no such run.
        """
        record = await self.get(run_id)
        await self.end(record, CANCELLED, reason or "cancelled by request")
        if drive := self._drives.get(record.run_id):
            drive.task.cancel()
            await asyncio.wait([drive.task])
        return await self.get(record.run_id)

    async def answer(self, run_id: str, kind: str, input_id: str, answer: Any) -> RunRecord:
        """Stores the answer that a run waits for, then goes on with it. The same answer again changes nothing.

        Raises:
            RunNotFound: there is no such run.
            NotWaiting: it waits for nothing of that kind and id.
        """
        record = await self.get(run_id)
        pending = record.pending or {}
        if record.state != "waiting" or pending.get("kind") != kind or pending.get(f"{kind}_id") != input_id:
            if await self._answered_before(record, kind, input_id, answer):
                return record
            raise NotWaiting(f"run {record.run_id} does not wait for {kind} {input_id}")
        if "answer" not in pending:
            update = {"pending": {**pending, "answer": answer}}
            await self._store.commit(record.run_id, update=update, unless_ended=True)
        elif pending["answer"] != answer:
            raise NotWaiting(f"{kind} {input_id} of run {record.run_id} was answered before, and differently")
        failpoint("input.answered")
        record = await self.get(record.run_id)
        if drive := self._drives.get(record.run_id):
            await asyncio.wait([drive.task])
        self.drive(record)
        return record

    async def _answered_before(self, record: RunRecord, kind: str, input_id: str, answer: Any) -> bool:
        given = answer if isinstance(answer, dict) else {"answer": answer}
        known = {**given, f"{kind}_id": input_id}
        events = await self._store.events(record.run_id, limit=MAX_EVENTS)
        return any(event.type in ANSWER_EVENTS and event.data == known for event in events)

    async def send(self, run_id: str, message: NewMessage) -> tuple[MessageRecord, bool]:
        """Puts a message from outside into a role's inbox; True when its id was known already.

        Raises:
            RunNotFound: there is no such run.
            InvalidRequest: the payload or the recipient is not allowed, or the run has ended.
        """
        record = await self.get(run_id)
        check_text("message.payload", message.payload)
        spec, _ = await self._graph(record.workflow_digest)
        roles = sorted({step.role for step in spec.steps})
        if message.recipient_role not in roles:
            raise InvalidRequest(
                f"message.recipient_role: {message.recipient_role!r} is no role of this workflow; "
                f"allowed: {', '.join(roles)}"
            )
        if record.state == "ended":
            raise InvalidRequest(f"run {record.run_id} has ended as {record.outcome}; it takes no more messages")
        event = NewEvent(
            type="MessageSent",
            data={
                "message_id": message.message_id,
                "sender_role": message.sender_role,
                "recipient_role": message.recipient_role,
            },
        )
        return await self._store.send_message(record.run_id, message, event)

    async def get(self, run_id: str) -> RunRecord:
        """The run with that run id or correlation id.

        Raises:
            RunNotFound: there is none.
        """
        record = await self._store.get_run(run_id)
        if record is None:
            kept = self.workflow.spec.checkpoint.retention
            raise RunNotFound(
                f"there is no run {run_id!r}; ended runs are kept for {kept.max_age}, at most {kept.ended_runs} of them"
            )
        return record

    def is_driving(self, run_id: str) -> bool:
        """Whether the task of a run has not come to its end."""
        return run_id in self._drives

    async def end(self, record: RunRecord, outcome: str, reason: str, **columns: Any) -> None:
        """Ends a run from outside of its graph and keeps its best draft; one that has ended stays as it is."""
        event = NewEvent(type="RunCompleted", data={"outcome": outcome, "reason": reason, "result": record.result})
        update = {"state": "ended", "outcome": outcome, "reason": reason, "pending": None, **columns}
        await self._store.commit(record.run_id, events=[event], update=update, unless_ended=True)

    async def drain(self, grace: float) -> None:
        """Accepts nothing more; lets current nodes finish for `grace` seconds, then stops them where they are."""
        self._draining = True
        drives = list(self._drives.values())
        for drive in drives:
            drive.control.request_drain("shutdown")
        tasks = [drive.task for drive in drives]
        if tasks:
            _, unfinished = await asyncio.wait(tasks, timeout=grace)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _drive(self, record: RunRecord, control: RunControl) -> None:
        with correlation(record.correlation_id):
            async with self._slots:
                await self._attempt(record, control)

    async def _attempt(self, record: RunRecord, control: RunControl) -> None:
        try:
            await self._advance(record, control)
        except GraphDrained:
            log.info("Run %s handed over at a step boundary", record.run_id)
        except StoreError as error:
            log.error("Run %s stopped, its store failed: %s", record.run_id, error)
        except Exception:
            log.exception("Run %s failed in the agent itself", record.run_id)
            await self._fail(record, "InternalError: the agent failed while it drove this run; see its log")

    async def _advance(self, record: RunRecord, control: RunControl) -> None:
        spec, driver = await self._graph(record.workflow_digest)
        config = run_config(record.run_id, spec)
        context = RunContext(
            run_id=record.run_id,
            correlation_id=record.correlation_id,
            deadline=record.create_time + parse_duration(spec.run_timeout),
        )
        parent = context_from(record.traceparent, record.tracestate)
        with tracer().start_as_current_span("agent.run", context=parent) as span:
            span.set_attributes({"thread.id": record.run_id, "correlation.id": record.correlation_id})
            await driver.drive(await self._input(record, spec, config), config, context=context, control=control)

    async def _input(self, record: RunRecord, spec: AgentWorkflowSpec, config: Any) -> Any:
        """What LangGraph needs to go on: the first state, the answer to an interrupt, or nothing."""
        if await self._store.saver.aget_tuple(config) is None:
            await self._store.commit(record.run_id, update={"state": "running"}, unless_ended=True)
            return initial_state(spec, record.prompt)
        if record.pending and "answer" in record.pending:
            return Command(resume=record.pending["answer"])
        return None

    async def _graph(self, digest: str) -> tuple[AgentWorkflowSpec, Driver]:
        if digest not in self._graphs:
            text = await self._store.get_workflow(digest)
            if text is None:
                raise AgentError(f"the store holds no workflow {digest}")
            spec = AgentWorkflowSpec.model_validate_json(text)
            self._graphs[digest] = (spec, Driver(build_graph(replace(self._dependencies, spec=spec))))
        return self._graphs[digest]

    async def _fail(self, record: RunRecord, reason: str) -> None:
        with contextlib.suppress(StoreError):
            await self.end(record, FAILED, reason)


def workflow_digest(spec: AgentWorkflowSpec) -> str:
    """SHA-256 (hex) of the spec as JSON."""
    return hashlib.sha256(spec.model_dump_json(by_alias=True).encode()).hexdigest()


def check_text(field: str, text: str) -> None:
    size = len(text.encode())
    if not text.strip():
        raise InvalidRequest(f"{field}: is empty; allowed: 1 to {PROMPT_BYTES} bytes of UTF-8")
    if size > PROMPT_BYTES:
        raise InvalidRequest(f"{field}: has {size} bytes; allowed: 1 to {PROMPT_BYTES} bytes of UTF-8")


def check_uuid(field: str, value: str) -> str:
    """The UUID in canonical form, or a new one when it is empty."""
    try:
        return str(uuid.UUID(value)) if value else str(uuid.uuid4())
    except ValueError:
        raise InvalidRequest(f"{field}: {value!r} is no UUID; allowed: a UUID, or empty for a new one") from None
