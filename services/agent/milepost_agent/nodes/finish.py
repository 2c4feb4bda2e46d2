"""Ends a run with a named outcome and keeps the best draft."""

from langgraph.runtime import Runtime

from milepost_agent.flow import COMPLETED, HOP_LIMIT_REACHED
from milepost_agent.nodes.dependencies import NodeDependencies, begin
from milepost_agent.state import RunContext, RunState, StateUpdate, best_draft


class Finish:
    def __init__(self, dependencies: NodeDependencies) -> None:
        self._dependencies = dependencies

    async def run(self, state: RunState, runtime: Runtime[RunContext]) -> StateUpdate:
        task = begin(self._dependencies, state, runtime)
        outcome = state.get("outcome") or COMPLETED
        reason = state.get("reason", "")
        result = best_draft(state["outputs"])
        if outcome == HOP_LIMIT_REACHED:
            task.record("HopRefused", reason=reason, remaining_hops=state["remaining_hops"])
        task.record("RunCompleted", outcome=outcome, reason=reason, result=result)
        task.transaction.update(state="ended", outcome=outcome, reason=reason, result=result, pending=None)
        return {"outcome": outcome, "reason": reason}
