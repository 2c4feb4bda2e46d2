"""Builds the LangGraph graph of a workflow: recommend -> arbitrate -> step -> recommend ... -> finish."""

from collections.abc import Callable
from typing import Any

from langgraph._internal._runnable import RunnableCallable
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from milepost_agent.flow import max_cycles
from milepost_agent.nodes import Arbitrate, Finish, NodeDependencies, Recommend, StepNode
from milepost_agent.state import RunContext, RunState
from milepost_crds import AgentWorkflowSpec
from milepost_crds.units import parse_duration

RECOMMEND = "recommend"
ARBITRATE = "arbitrate"
FINISH = "finish"
# Three nodes a hop and a clarifying question; the real bounds are in the state.
SUPERSTEPS_PER_HOP = 8

Graph = CompiledStateGraph[RunState, RunContext, RunState, RunState]


def build_graph(dependencies: NodeDependencies) -> Graph:
    """The compiled graph, checkpointed by the store."""
    builder: StateGraph[RunState, RunContext, RunState, RunState] = StateGraph(RunState, context_schema=RunContext)
    names = [step.name for step in dependencies.spec.steps]
    builder.add_node(RECOMMEND, Recommend(dependencies).run)
    builder.add_node(ARBITRATE, Arbitrate(dependencies).run)
    builder.add_node(FINISH, Finish(dependencies).run)
    for name in names:
        builder.add_node(name, StepNode(dependencies, name).run)
        builder.add_conditional_edges(name, _route(after_step), [RECOMMEND, FINISH])
    builder.add_edge(START, RECOMMEND)
    builder.add_conditional_edges(RECOMMEND, _route(after_recommend), [ARBITRATE, FINISH])
    builder.add_conditional_edges(ARBITRATE, _route(after_arbitrate), [RECOMMEND, FINISH, *names])
    builder.add_edge(FINISH, END)
    return builder.compile(checkpointer=dependencies.store.saver, name=dependencies.spec.pattern)


def _route(decide: Callable[[RunState], str]) -> RunnableCallable:
    """A function that chooses the next node, called as it is: no tracer is asked whether it wants to see it."""
    return RunnableCallable(decide, trace=False)


def after_recommend(state: RunState) -> str:
    return FINISH if state.get("outcome") else ARBITRATE


def after_arbitrate(state: RunState) -> str:
    if state.get("outcome"):
        return FINISH
    action = state["decision"]["action"]
    if action == "invoke":
        return state["next_step"]
    return FINISH if action == "finish" else RECOMMEND


def after_step(state: RunState) -> str:
    return FINISH if state.get("outcome") else RECOMMEND


def initial_state(spec: AgentWorkflowSpec, prompt: str) -> RunState:
    first = spec.steps[0]
    return {
        "prompt": prompt,
        "max_hops": spec.hop_limit,
        "remaining_hops": spec.hop_limit,
        "current_cycle": 1 if spec.cycle else 0,
        "max_cycles": max_cycles(spec),
        "next_step": first.name,
        "outputs": [],
        "time_limit": parse_duration(spec.run_timeout),
        "hop_ends": parse_duration(first.timeout),
    }


def recursion_limit(spec: AgentWorkflowSpec) -> int:
    """A backstop in supersteps; LangGraph counts it anew after each restart, so it bounds nothing by itself."""
    return SUPERSTEPS_PER_HOP * (spec.hop_limit + len(spec.steps)) + 8


def run_config(run_id: str, spec: AgentWorkflowSpec) -> Any:
    """The LangGraph config of a run; the run id is the thread id."""
    return {"configurable": {"thread_id": run_id}, "recursion_limit": recursion_limit(spec)}
