"""Which step comes next and when a run ends: pure decisions over the workflow and the state."""

from dataclasses import dataclass

from milepost_agent.state import REVISE, RunState
from milepost_crds import AgentWorkflowSpec, Step

COMPLETED = "Completed"
REVIEW_LIMIT_REACHED = "ReviewLimitReached"
HOP_LIMIT_REACHED = "HopLimitReached"
CANCELLED = "Cancelled"
FAILED = "Failed"
NEEDS_ATTENTION = "NeedsAttention"
TIME_LIMIT_REACHED = "TimeLimitReached"
WAIT_TIMED_OUT = "WaitTimedOut"


@dataclass(frozen=True)
class Next:
    """Either a step to go to, or an outcome with its reason; `cycle` is the review cycle from then on."""

    cycle: int
    step: str = ""
    outcome: str = ""
    reason: str = ""


def find_step(spec: AgentWorkflowSpec, name: str) -> Step:
    return next(step for step in spec.steps if step.name == name)


def closes_cycle(spec: AgentWorkflowSpec, step: str) -> bool:
    """Whether this step's verdict decides about another review cycle."""
    return spec.cycle is not None and spec.cycle.from_ == step


def cycle_of(spec: AgentWorkflowSpec, state: RunState, step: str) -> int:
    """The review cycle that a step belongs to now; 0 for a step outside of the cycle."""
    if spec.cycle is None:
        return 0
    names = [each.name for each in spec.steps]
    inside = names.index(spec.cycle.to) <= names.index(step) <= names.index(spec.cycle.from_)
    return state["current_cycle"] if inside else 0


def max_cycles(spec: AgentWorkflowSpec) -> int:
    return spec.cycle.max_cycles if spec.cycle else 0


def step_after(spec: AgentWorkflowSpec, state: RunState, step: str, verdict: str, remaining_hops: int) -> Next:
    """What follows a step that was done or skipped."""
    cycle = state["current_cycle"]
    if spec.cycle and closes_cycle(spec, step) and verdict == REVISE:
        if cycle >= state["max_cycles"]:
            reason = f"the reviewer still asked for changes in review cycle {cycle} of {state['max_cycles']}"
            return Next(cycle, outcome=REVIEW_LIMIT_REACHED, reason=reason)
        return _go(spec.cycle.to, cycle + 1, state, remaining_hops)
    names = [each.name for each in spec.steps]
    position = names.index(step) + 1
    if position == len(names):
        return Next(cycle, outcome=COMPLETED)
    return _go(names[position], cycle, state, remaining_hops)


def _go(step: str, cycle: int, state: RunState, remaining_hops: int) -> Next:
    if remaining_hops <= 0:
        reason = f"hop {state['max_hops'] + 1} (step {step}) was refused: maxHops is {state['max_hops']}"
        return Next(cycle, step=step, outcome=HOP_LIMIT_REACHED, reason=reason)
    return Next(cycle, step=step)
