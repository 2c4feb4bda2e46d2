"""What the nodes of a graph work with."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from langgraph.runtime import Runtime

from milepost_agent.clients import CallContext, ServiceClients
from milepost_agent.effects import Effects, call_id
from milepost_agent.flow import TIME_LIMIT_REACHED, find_step, step_after
from milepost_agent.registry import Registry
from milepost_agent.router import Recommender
from milepost_agent.state import RunContext, RunState, StateUpdate, hop_index
from milepost_agent.store import NewEvent, StepTransaction, Store
from milepost_agent.tracing import Node, RunTrace, run_trace
from milepost_crds import AgentWorkflowSpec
from milepost_crds.units import parse_duration


@dataclass(frozen=True)
class NodeDependencies:
    spec: AgentWorkflowSpec
    store: Store
    registry: Registry
    router: Recommender
    clients: ServiceClients
    effects: Effects
    now: Callable[[], float] = time.time


@dataclass(frozen=True)
class Task:
    """One execution of a node: where its events go and how its calls are named."""

    dependencies: NodeDependencies
    context: RunContext
    task_id: str
    step: str
    hop_index: int
    transaction: StepTransaction
    run_deadline: float
    """When the time of the run is used up, in seconds since the epoch; it moves while the run waits."""
    hop_deadline: float
    """When the time of this hop, or that of the run, is used up."""

    def record(self, kind: str, /, **data: object) -> None:
        """Adds an event to the transaction of the task."""
        self.transaction.event(self._event(kind, "", data))

    def record_once(self, kind: str, which: str, /, traceparent: str = "", **data: object) -> None:
        """Adds one of several events of a kind, told apart by `which`; `traceparent` of the span that made it."""
        self.transaction.event(self._event(kind, which, data, traceparent))

    def note(self, kind: str, which: str, /, **data: object) -> None:
        """Commits an event at once and by itself, without waiting: what is going on inside of the task."""
        self.dependencies.store.note(self.context.run_id, self._event(kind, which, data))

    def _event(self, kind: str, which: str, data: dict[str, object], traceparent: str = "") -> NewEvent:
        # The key keeps a task that runs again from doubling its events.
        key = f"{self.task_id}:{kind}:{which}"
        return NewEvent(kind, self.step, self.hop_index, data, key, traceparent)

    @property
    def trace(self) -> RunTrace:
        return run_trace(self.context.run_id, self.context.traceparent, self.context.tracestate)

    def span_id(self, node: Node, which: int) -> int:
        """The span that the journal will tell of; see `RunTrace.node_id`."""
        return self.trace.node_id(self.dependencies.store.epoch, node, self.hop_index, self.step, which)

    def within(self, node: Node, which: int) -> AbstractContextManager[None]:
        """Calls and log lines inside belong to that span."""
        return self.trace.within(self.span_id(node, which))

    def skip(self, state: RunState) -> StateUpdate:
        """Leaves the step out, which costs no hop, and goes on to what follows it."""
        remaining = state["remaining_hops"]
        following = step_after(self.dependencies.spec, state, self.step, "", remaining)
        self.record("StepSkipped", remaining_hops=remaining)
        return {
            "next_step": following.step,
            "outcome": following.outcome,
            "reason": following.reason,
            "hop_ends": self.hop_ends(following.step),
        }

    def wait(self, kind: str, asked: dict[str, Any]) -> None:
        """Says what the run waits for from now on, with the clock of the run stopped, and until when at most."""
        now = self.dependencies.now()
        pending: dict[str, Any] = {"kind": kind, **asked}
        if longest := self.dependencies.spec.wait_timeout:
            pending["expires"] = now + parse_duration(longest)
        self.transaction.update(state="waiting", pending=pending, idle_since=now)

    def hop_ends(self, following: str) -> float:
        """When the hop of the step that follows will have used up its time, which begins now; on the run's clock."""
        now = self.dependencies.now() - self.context.clock_zero
        return now + (_timeout(self.dependencies.spec, following) if following else 0.0)

    def time_is_up(self) -> bool:
        return self.dependencies.now() >= self.hop_deadline

    def out_of_time(self) -> StateUpdate:
        """Ends the run because the time of this hop, or of the whole run, is used up."""
        spec = self.dependencies.spec
        if self.dependencies.now() >= self.run_deadline:
            reason = f"RunTimeout: step {self.step}: the run has used up its time ({spec.run_timeout})"
        else:
            longest = find_step(spec, self.step).timeout
            reason = f"HopTimeout: step {self.step}: the hop has used up its time ({longest})"
        return {"outcome": TIME_LIMIT_REACHED, "reason": reason}

    def call_context(self, ordinal: int, deadline: float) -> CallContext:
        return CallContext(
            call_id=call_id(self.task_id, ordinal),
            correlation_id=self.context.correlation_id,
            owner_id=self.dependencies.store.owner_id,
            epoch=self.dependencies.store.epoch,
            deadline=min(deadline, self.hop_deadline),
            now=self.dependencies.now,
        )


def begin(dependencies: NodeDependencies, state: RunState, runtime: Runtime[RunContext]) -> Task:
    """The task that LangGraph is executing now, with an empty transaction."""
    info = runtime.execution_info
    assert info is not None, "a node runs inside of a graph"
    dependencies.store.discard_step(info.thread_id or "", info.task_id)
    zero = runtime.context.clock_zero
    run_ends = zero + state.get("time_limit", parse_duration(dependencies.spec.run_timeout))
    hop_ends = zero + state["hop_ends"] if "hop_ends" in state else run_ends
    return Task(
        dependencies=dependencies,
        context=runtime.context,
        task_id=info.task_id,
        step=state["next_step"],
        hop_index=hop_index(state),
        transaction=dependencies.store.step(runtime.context.run_id, info.task_id),
        run_deadline=run_ends,
        hop_deadline=min(hop_ends, run_ends),
    )


def _timeout(spec: AgentWorkflowSpec, step: str) -> float:
    return parse_duration(find_step(spec, step).timeout)
