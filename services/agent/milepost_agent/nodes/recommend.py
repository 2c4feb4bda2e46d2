"""Asks the router which ready service fits the step that is up. Informs, decides nothing."""

import asyncio

from langgraph.runtime import Runtime

from milepost_agent.flow import FAILED, find_step
from milepost_agent.nodes.dependencies import NodeDependencies, begin
from milepost_agent.registry import Entry
from milepost_agent.router import Candidate
from milepost_agent.state import RunContext, RunState, StateUpdate
from milepost_crds import Step
from milepost_crds.units import parse_duration
from milepost_service.telemetry import tracer


class Recommend:
    """Waits for a ready service of the step's capability, then has the router rank what is ready."""

    def __init__(self, dependencies: NodeDependencies) -> None:
        self._dependencies = dependencies

    async def run(self, state: RunState, runtime: Runtime[RunContext]) -> StateUpdate:
        task = begin(self._dependencies, state, runtime)
        step = find_step(self._dependencies.spec, task.step)
        with tracer().start_as_current_span("agent.route_recommendation") as span:
            entries = await self._ready(step, task.context)
            if not entries:
                return {"outcome": FAILED, "reason": _nothing_ready(step)}
            recommendation = await asyncio.to_thread(
                self._dependencies.router.recommend,
                _task_text(step, state),
                [candidate(entry) for entry in entries],
                step.capability or None,
            )
            best = recommendation.services[0].confidence if recommendation.services else 0.0
            span.set_attributes(
                {
                    "thread.id": task.context.run_id,
                    "gen_ai.conversation.id": task.context.run_id,
                    "correlation.id": task.context.correlation_id,
                    "hop.count": task.hop_index,
                    "router.confidence": best,
                    "router.path": recommendation.path,
                }
            )
        task.record("Recommended", **recommendation.to_dict())
        task.transaction.update(state="running", current_step=task.step)
        return {"recommendation": recommendation.to_dict()}

    async def _ready(self, step: Step, context: RunContext) -> list[Entry]:
        registry = self._dependencies.registry
        patience = min(parse_duration(step.timeout), context.deadline - self._dependencies.now())
        name = step.service_ref.name if step.service_ref else ""
        return await registry.wait_ready(patience, capability=step.capability or "", name=name)


def candidate(entry: Entry) -> Candidate:
    """What the router sees of a service."""
    return Candidate(entry.name, entry.capabilities, entry.description, entry.examples)


def _task_text(step: Step, state: RunState) -> str:
    parts = (step.instructions, state["prompt"], state.get("clarification", ""))
    return "\n".join(part for part in parts if part)


def _nothing_ready(step: Step) -> str:
    if step.service_ref:
        wanted = f"service {step.service_ref.name}"
    elif step.capability:
        wanted = f"service with capability {step.capability}"
    else:
        wanted = "service"
    return f"NoServiceReady: step {step.name}: no {wanted} became ready within {step.timeout}"
