"""What the nodes of a graph work with."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from langgraph.runtime import Runtime

from milepost_agent.clients import CallContext, ServiceClients
from milepost_agent.effects import Effects, call_id
from milepost_agent.flow import step_after
from milepost_agent.registry import Registry
from milepost_agent.router import Router
from milepost_agent.state import RunContext, RunState, StateUpdate, hop_index
from milepost_agent.store import NewEvent, StepTransaction, Store
from milepost_crds import AgentWorkflowSpec


@dataclass(frozen=True)
class NodeDependencies:
    spec: AgentWorkflowSpec
    store: Store
    registry: Registry
    router: Router
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

    def record(self, kind: str, /, **data: object) -> None:
        """Adds an event to the transaction of the task."""
        self.record_once(kind, "", **data)

    def record_once(self, kind: str, which: str, /, **data: object) -> None:
        """Adds one of several events of a kind, told apart by `which`."""
        self.transaction.event(self._event(kind, which, data))

    def note(self, kind: str, which: str, /, **data: object) -> None:
        """Commits an event at once and by itself, without waiting: what is going on inside of the task."""
        self.dependencies.store.note(self.context.run_id, self._event(kind, which, data))

    def _event(self, kind: str, which: str, data: dict[str, object]) -> NewEvent:
        # The key keeps a task that runs again from doubling its events.
        key = f"{self.task_id}:{kind}:{which}"
        return NewEvent(type=kind, step=self.step, hop_index=self.hop_index, data=data, key=key)

    def span_attributes(self) -> dict[str, str | int]:
        """What every span of a hop carries."""
        return {
            "thread.id": self.context.run_id,
            "gen_ai.conversation.id": self.context.run_id,
            "correlation.id": self.context.correlation_id,
            "hop.count": self.hop_index,
        }

    def skip(self, state: RunState) -> StateUpdate:
        """Leaves the step out, which costs no hop, and goes on to what follows it."""
        remaining = state["remaining_hops"]
        following = step_after(self.dependencies.spec, state, self.step, "", remaining)
        self.record("StepSkipped", remaining_hops=remaining)
        return {"next_step": following.step, "outcome": following.outcome, "reason": following.reason}

    def call_context(self, ordinal: int, deadline: float) -> CallContext:
        return CallContext(
            call_id=call_id(self.task_id, ordinal),
            correlation_id=self.context.correlation_id,
            epoch=self.dependencies.store.epoch,
            deadline=min(deadline, self.context.deadline),
        )


def begin(dependencies: NodeDependencies, state: RunState, runtime: Runtime[RunContext]) -> Task:
    """The task that LangGraph is executing now, with an empty transaction."""
    info = runtime.execution_info
    assert info is not None, "a node runs inside of a graph"
    dependencies.store.discard_step(info.thread_id or "", info.task_id)
    return Task(
        dependencies=dependencies,
        context=runtime.context,
        task_id=info.task_id,
        step=state["next_step"],
        hop_index=hop_index(state),
        transaction=dependencies.store.step(runtime.context.run_id, info.task_id),
    )
