"""Accepts runs and drives them: every run is one task on the event loop, and can be resumed at any time."""

import asyncio
import contextlib
import hashlib
import logging
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from langgraph.types import Command

from milepost_agent.driver import Driver
from milepost_agent.errors import AgentError, Displaced, Draining, LedgerConflict, RunNotFound, StoreError
from milepost_agent.failpoints import failpoint
from milepost_agent.flow import FAILED, WAIT_TIMED_OUT, max_cycles
from milepost_agent.graph import build_graph, initial_state, run_config
from milepost_agent.nodes import NodeDependencies
from milepost_agent.requests import check_text, check_uuid
from milepost_agent.state import RunContext
from milepost_agent.store import ENDED, WAITING, NewEvent, NewRequest, NewRun, RunRecord
from milepost_agent.tracing import run_trace
from milepost_agent.waits import Waits
from milepost_crds import AgentWorkflow, AgentWorkflowSpec
from milepost_crds.units import parse_duration
from milepost_service.correlation import correlation

log = logging.getLogger(__name__)

MAX_CONCURRENT_RUNS = 1_024
PAUSE = "pause"
SHUTDOWN = "shutdown"


@dataclass
class Drive:
    """A run that is being driven."""

    task: asyncio.Task[None]
    control: RunControl
    again: bool = False
    """Whether something was asked for meanwhile that may have come too late for this drive."""
    begun: bool = False
    """Whether its turn has come."""


class Runner:
    """The runs of one agent."""

    def __init__(
        self, workflow: AgentWorkflow, dependencies: NodeDependencies, now: Callable[[], float] = time.time
    ) -> None:
        self.workflow = workflow
        self.digest = workflow_digest(workflow.spec)
        self._dependencies = dependencies
        self._store = dependencies.store
        self._graphs: dict[str, tuple[AgentWorkflowSpec, Driver]] = {}
        self._drives: dict[str, Drive] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waits = Waits(self._expire, now)
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_RUNS)
        self._open = asyncio.Event()
        self._open.set()
        self._draining = False
        self._halted = False

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
        if self._halted:
            raise Draining("the agent is opening its file of runs again; try again")
        check_text("prompt", prompt)
        correlation_id = check_uuid("correlation_id", correlation_id) if correlation_id else str(uuid.uuid4())
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
                time_limit=parse_duration(spec.run_timeout),
                traceparent=traceparent,
                tracestate=tracestate,
            )
        )
        failpoint("run.accepted")
        if not existing:
            self.drive(record)
        return record, existing

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

    def drive(self, record: RunRecord, *, alone: bool = False) -> None:
        """Goes on with a run from its last checkpoint, or from its beginning; not with one that waits or is paused.

        While the runner is held, only what is driven `alone` goes on.
        """
        if self._draining or self._halted or record.paused is not None or record.state == ENDED:
            return
        if drive := self._drives.get(record.run_id):
            drive.again = True
            return
        if not record.is_drivable:
            self._waits.watch(record)
            return
        control = RunControl()
        task = asyncio.create_task(self._drive(record, control, alone), name=f"run-{record.run_id}")
        self._drives[record.run_id] = Drive(task, control)
        task.add_done_callback(lambda _: self._driven(record.run_id))

    def _driven(self, run_id: str) -> None:
        if self._drives.pop(run_id).again and not self._draining and not self._halted and self._store.failure is None:
            task = asyncio.create_task(self._drive_again(run_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _drive_again(self, run_id: str) -> None:
        with contextlib.suppress(StoreError):
            self.drive(await self.get(run_id))

    def hold(self) -> None:
        """Holds back every drive that is not begun yet, until `release`."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def ask_to_pause(self, run_id: str) -> None:
        """Has the drive of a run end when the node that it is in has ended, and its wait not end by itself."""
        self._waits.forget(run_id)
        if drive := self._drives.get(run_id):
            drive.control.request_drain(PAUSE)

    async def stop(self, record: RunRecord) -> None:
        """Stops the drive of a run where it is, and what services do for it."""
        drive = self._drives.get(record.run_id)
        if drive is None:
            return
        await self._dependencies.clients.stop_calls(record.correlation_id)
        drive.task.cancel()
        await asyncio.wait([drive.task])

    async def end(
        self,
        record: RunRecord,
        outcome: str,
        reason: str,
        *,
        request: NewRequest | None = None,
        guard: Callable[[RunRecord], bool] | None = None,
        **columns: Any,
    ) -> bool:
        """Ends a run from outside of its graph and keeps its best draft.

        False, and nothing is done, for one that has ended, for a request done before, or when the guard says so.
        """
        event = NewEvent(type="RunCompleted", data={"outcome": outcome, "reason": reason, "result": record.result})
        update = {"state": "ended", "outcome": outcome, "reason": reason, "pending": None, **columns}
        return await self._store.commit(
            record.run_id, events=[event], update=update, unless_ended=True, request=request, guard=guard
        )

    async def spec_of(self, record: RunRecord) -> AgentWorkflowSpec:
        """The workflow that a run is pinned to."""
        return (await self._graph(record.workflow_digest))[0]

    async def halt(self) -> None:
        """Stops every run where it is and drives none until `unhalt`, so that the store can be opened anew."""
        self._halted = True
        self._waits.stop()
        tasks = [drive.task for drive in self._drives.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def unhalt(self) -> None:
        """Lets runs be driven again."""
        self._halted = False

    async def drain(self, grace: float) -> None:
        """Accepts nothing more; lets current nodes finish for `grace` seconds, then stops them where they are."""
        self._draining = True
        self._waits.stop()
        drives = list(self._drives.values())
        for drive in drives:
            drive.control.request_drain(SHUTDOWN)
        self.release()
        failpoint("drain.requested")
        tasks = [drive.task for drive in drives]
        if tasks:
            _, unfinished = await asyncio.wait(tasks, timeout=grace)
            self._note_interruptions(unfinished)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        if self._store.failure is None:
            with contextlib.suppress(StoreError):
                await self._store.stop_clocks()

    def _note_interruptions(self, unfinished: Collection["asyncio.Task[None]"]) -> None:
        """Journals which runs this process stops in the middle of a node, so that the next one knows it."""
        for run_id, drive in self._drives.items():
            if drive.task in unfinished and drive.begun:
                with contextlib.suppress(StoreError):
                    self._store.note(run_id, NewEvent("RunInterrupted", data={"reason": SHUTDOWN}))

    async def _drive(self, record: RunRecord, control: RunControl, alone: bool) -> None:
        trace = run_trace(record.run_id, record.traceparent, record.tracestate)
        with correlation(record.correlation_id), trace.within(trace.root_id):
            if not alone:
                await self._open.wait()
            async with self._slots:
                if not control.drain_requested:
                    self._drives[record.run_id].begun = True
                    await self._attempt(record, control)
            await self._rest(record.run_id)

    async def _rest(self, run_id: str) -> None:
        """After a drive: stops the clock of a paused run, and begins to watch over what a waiting one waits for."""
        with contextlib.suppress(StoreError):
            record = await self.get(run_id)
            if record.paused is not None and record.idle_since is None:
                await self._store.commit(run_id, update={"idle_since": self._dependencies.now()}, unless_ended=True)
            if record.state == WAITING and record.paused is None:
                self._waits.watch(record)

    async def _attempt(self, record: RunRecord, control: RunControl) -> None:
        try:
            await self._advance(record, control)
        except GraphDrained as drained:
            log.info("Run %s stands at a step boundary: %s", record.run_id, drained.reason)
        except Displaced as error:
            log.error("Run %s stopped, this process was displaced: %s", record.run_id, error)
            with contextlib.suppress(StoreError):
                await self._store.check_owner()
        except LedgerConflict as error:
            log.error("Run %s cannot go on: %s", record.run_id, error)
            await self._fail(record, f"StoreRefused: {error}")
        except StoreError as error:
            log.error("Run %s stopped, its store refused a write: %s", record.run_id, error)
        except Exception:
            log.exception("Run %s failed in the agent itself", record.run_id)
            await self._fail(record, "InternalError: the agent failed while it drove this run; see its log")

    async def _advance(self, record: RunRecord, control: RunControl) -> None:
        spec, driver = await self._graph(record.workflow_digest)
        config = run_config(record.run_id, spec)
        record, fresh = await self._store.start_clock(record.run_id)
        failpoint("run.driven")
        facts = (record.run_id, record.correlation_id, record.clock_zero, record.traceparent, record.tracestate)
        graph_input = await self._input(record, spec, config, fresh)
        await driver.drive(graph_input, config, context=RunContext(*facts), control=control, fresh=fresh)

    async def _input(self, record: RunRecord, spec: AgentWorkflowSpec, config: Any, fresh: bool) -> Any:
        """What LangGraph needs to go on: the first state, the answer to an interrupt, or nothing."""
        if fresh or await self._store.saver.aget_tuple(config) is None:
            return initial_state(spec, record.prompt)
        if record.pending and record.is_answered:
            return Command(resume=record.pending["answer"])
        return None

    async def spec(self, digest: str) -> AgentWorkflowSpec | None:
        """The workflow of a digest that runs are pinned to; None when no run is any more."""
        if digest in self._graphs:
            return self._graphs[digest][0]
        if digest == self.digest:
            return self.workflow.spec
        text = await self._store.get_workflow(digest)
        return None if text is None else AgentWorkflowSpec.model_validate_json(text)

    async def _graph(self, digest: str) -> tuple[AgentWorkflowSpec, Driver]:
        if digest not in self._graphs:
            spec = await self.spec(digest)
            if spec is None:
                raise AgentError(f"the store holds no workflow {digest}")
            self._graphs[digest] = (spec, Driver(build_graph(replace(self._dependencies, spec=spec))))
        return self._graphs[digest]

    async def _fail(self, record: RunRecord, reason: str) -> None:
        with contextlib.suppress(StoreError):
            await self.end(record, FAILED, reason)

    async def _expire(self, run_id: str, input_id: str) -> None:
        """Ends a run that nobody answered in time, unless somebody did just now."""
        record = await self.get(run_id)
        kind = str((record.pending or {}).get("kind", "input"))
        reason = f"WaitTimeout: step {record.current_step}: nobody gave the {kind} within the workflow's waitTimeout"
        await self.end(
            record,
            WAIT_TIMED_OUT,
            reason,
            guard=lambda now: now.waits_for(input_id) and now.paused is None,
        )


def workflow_digest(spec: AgentWorkflowSpec) -> str:
    """SHA-256 (hex) of the spec as JSON."""
    return hashlib.sha256(spec.model_dump_json(by_alias=True).encode()).hexdigest()
