"""Asks the router which ready service fits the step that is up. Informs, decides nothing."""

import asyncio
from collections.abc import Sequence

from langgraph.runtime import Runtime

from milepost_agent.flow import FAILED, find_step
from milepost_agent.nodes.dependencies import NodeDependencies, Task, begin
from milepost_agent.registry import Entry
from milepost_agent.router import TAGS, Candidate, Recommendation
from milepost_agent.state import RunContext, RunState, StateUpdate
from milepost_crds import Step

# How long a step that may be skipped waits for a service.
OPTIONAL_STEP_SECONDS = 10


class Recommend:
    """Waits for a ready service of the step's capability, then has the router rank what is ready."""

    def __init__(self, dependencies: NodeDependencies) -> None:
        self._dependencies = dependencies

    async def run(self, state: RunState, runtime: Runtime[RunContext]) -> StateUpdate:
        task = begin(self._dependencies, state, runtime)
        step = find_step(self._dependencies.spec, task.step)
        if self._dependencies.now() >= task.run_deadline:
            return task.out_of_time()
        entries = await self._ready(step, task)
        if not entries and not step.optional:
            if self._dependencies.now() >= task.run_deadline:
                return task.out_of_time()
            return {"outcome": FAILED, "reason": _nothing_ready(step)}
        recommendation, relevance = await asyncio.to_thread(self._rank, step, state, entries)
        task.record("Recommended", **recommendation.to_dict(), relevance=relevance)
        task.transaction.update(state="running", current_step=task.step)
        return {"recommendation": recommendation.to_dict(), "relevance": relevance}

    def _rank(self, step: Step, state: RunState, entries: Sequence[Entry]) -> tuple[Recommendation, float]:
        """The ranking for this step, and the probability in [0, 1] that the request needs its capability at all."""
        router = self._dependencies.router
        text = _joined(step.instructions, state["prompt"], state.get("clarification", ""))
        recommendation = router.recommend(text, [candidate(entry) for entry in entries], step.capability or None)
        if step.optional and step.capability in TAGS:
            # The step's own words would speak for it: only what the user wrote counts here.
            tags = router.score_tags(_joined(state["prompt"], state.get("clarification", "")))
            return recommendation, tags[step.capability]
        return recommendation, 1 - recommendation.none_probability

    async def _ready(self, step: Step, task: Task) -> list[Entry]:
        registry = self._dependencies.registry
        patience = task.hop_deadline - self._dependencies.now()
        if step.optional:
            patience = min(patience, OPTIONAL_STEP_SECONDS)
        name = step.service_ref.name if step.service_ref else ""
        return await registry.wait_ready(patience, capability=step.capability or "", name=name)


def candidate(entry: Entry) -> Candidate:
    """What the router sees of a service."""
    return Candidate(entry.name, entry.capabilities, entry.description, entry.examples)


def _joined(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


def _nothing_ready(step: Step) -> str:
    if step.service_ref:
        wanted = f"service {step.service_ref.name}"
    elif step.capability:
        wanted = f"service with capability {step.capability}"
    else:
        wanted = "service"
    return f"NoServiceReady: step {step.name}: no {wanted} became ready within {step.timeout}"
