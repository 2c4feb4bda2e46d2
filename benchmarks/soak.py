"""Soak: thousands of runs with retention on. The file stops growing, and no step waits for what is removed.

Three parts, each on files of its own:
1. growth: runs through the real store and a LangGraph graph of 4 steps; the size of the file as it goes on;
2. latency: the same with retention on and off in alternating rounds, side by side;
3. agent: fewer runs through a real agent process with a service beside it; none goes in its first minute, so this
   takes minutes (--agent-runs 0 leaves it out).
Fails when a file is larger at its end than `LIMIT` times what it was when retention had begun to work.
Prints one JSON object as its last line; seconds are wall time on this machine, so compare them only with each other.
Usage: soak.py [--folder DIR] [--runs N] [--at-once N] [--pace N] [--kept N] [--rounds N] [--agent-runs N] [--rate N]
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from milepost.agent.v1 import agent_pb2
from milepost_agent.store import ENDED, LedgerEntry, NewEvent, NewMessage, NewRun, RetentionPolicy, Store

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "integration"))
from processes import AgentClient, agent_process, running, scripted_process

STEPS: Final = ("research", "code", "test", "review")
PAYLOAD: Final = "x" * 2048
LIMIT: Final = 1.5
SAMPLES: Final = 20
PACE: Final = 200.0
"""Runs a second at most. Runs whose services take no time at all come faster than retention takes them away."""
AGENT_SPEC: Final[dict[str, object]] = {
    "pattern": "linear",
    "steps": [
        {"name": "research", "role": "researcher", "capability": "rag"},
        {"name": "code", "role": "coder", "capability": "coding"},
        {"name": "review", "role": "reviewer", "capability": "review"},
    ],
    "arbitrator": {"modelRef": {"name": "worker"}},
    "checkpoint": {"retention": {"endedRuns": 20, "maxAge": "1m"}},
}


def append(left: list[str], right: list[str]) -> list[str]:
    return left + right


class State(TypedDict):
    outputs: Annotated[list[str], append]


@dataclass(frozen=True)
class Size:
    """Of the file after so many runs, in bytes; `ended` is how many ended runs it held."""

    runs: int
    database: int
    log: int
    ended: int


@dataclass
class Soaked:
    """What a part measured: sizes in order, and the seconds of each step from the end of the one before to its own."""

    sizes: list[Size] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    removed_runs: int = 0

    @property
    def plateau(self) -> int:
        """The largest the database was from three to five tenths of the way, when retention had begun to work."""
        total = self.sizes[-1].runs
        return max(size.database for size in self.sizes if 0.3 * total <= size.runs <= 0.5 * total)

    @property
    def growth(self) -> float:
        """The last size of the database over the plateau."""
        return self.sizes[-1].database / self.plateau


def build(store: Store, ended_last: dict[str, float], steps: list[float]) -> Any:
    """A graph whose steps store what those of the agent do: an answer, events, a message, columns of the run."""

    def node(name: str) -> Any:
        async def work(state: State, runtime: Runtime[None]) -> dict[str, list[str]]:
            info = runtime.execution_info
            assert info is not None and info.thread_id is not None
            run_id = info.thread_id
            await store.ledger_put(LedgerEntry(f"{info.task_id}/0", run_id, 0, "Invoke", "hash", PAYLOAD.encode()))
            step = store.step(run_id, info.task_id)
            step.event(NewEvent("StepStarted", step=name))
            step.event(NewEvent("StepCompleted", step=name, data={"output": PAYLOAD}))
            step.message(NewMessage(f"{run_id}/{name}", name, "user", "done"))
            step.update(current_step=name)
            if name == STEPS[-1]:
                step.event(NewEvent("RunCompleted"))
                step.update(state=ENDED, outcome="Completed", result=PAYLOAD)
            now = time.perf_counter()
            if run_id in ended_last:
                steps.append(now - ended_last[run_id])
            ended_last[run_id] = now
            return {"outputs": [PAYLOAD]}

        return work

    graph = StateGraph(State)
    for name in STEPS:
        graph.add_node(name, node(name))
    for left, right in zip([START, *STEPS], [*STEPS, END], strict=True):
        graph.add_edge(left, right)
    return graph.compile(checkpointer=store.saver)


async def soak(folder: Path, runs: int, at_once: int, kept: int | None, pace: float = PACE) -> Soaked:
    """Drives runs in a new file, at most `pace` a second.

    `kept` is how many ended ones retention leaves; None leaves all and their history.
    """
    path = folder / "milepost.db"
    store = await Store.open(path, history=kept is None)
    soaked = Soaked()
    ended_last: dict[str, float] = {}
    graph = build(store, ended_last, soaked.steps)
    policy = RetentionPolicy(runs if kept is None else kept, max_age=1e9, at_least=0.0)
    retention = store.retention(policy, keep_workflow="digest", busy=ended_last.__contains__)
    if kept is not None:
        retention.start()
    left = iter(range(runs))
    begun = time.monotonic()
    done = 0

    async def worker() -> None:
        nonlocal done
        for number in left:
            await asyncio.sleep(max(0.0, begun + number / pace - time.monotonic()))
            run_id = f"run-{number}"
            run = NewRun(run_id, run_id, "hash", "soak", "digest", PAYLOAD, max_hops=4, max_cycles=0)
            await store.accept_run(run)
            config = {"configurable": {"thread_id": run_id}}
            await graph.ainvoke({"outputs": []}, config, durability="sync")
            del ended_last[run_id]
            done += 1
            if done % max(1, runs // SAMPLES) == 0:
                soaked.sizes.append(measure(path, done, (await store.count_runs()).get(ENDED, 0)))

    try:
        await asyncio.gather(*(worker() for _ in range(at_once)))
        soaked.removed_runs = retention.counters.removed_runs
    finally:
        await retention.stop()
        await store.close()
    return soaked


def measure(path: Path, runs: int, ended: int) -> Size:
    log = path.with_name(path.name + "-wal")
    return Size(runs, path.stat().st_size, log.stat().st_size if log.exists() else 0, ended)


def show(title: str, soaked: Soaked) -> None:
    print(f"{title}: runs, database MiB, log MiB, ended runs in it")
    for size in soaked.sizes:
        bar = "#" * round(40 * size.database / max(each.database for each in soaked.sizes))
        print(f"  {size.runs:6,} {size.database / 2**20:8.1f} {size.log / 2**20:6.1f} {size.ended:6,} {bar}")
    print(f"  at the end {soaked.growth:.2f} of the plateau; allowed: {LIMIT}")


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    cuts = statistics.quantiles(values, n=100)
    return {f"p{each}": cuts[each - 1] * 1000 for each in (50, 95, 99)}


async def compare(folder: Path, rounds: int, runs: int, at_once: int) -> dict[str, float]:
    """Time of steps with retention on and off, in alternating rounds: on / off for each percentile."""
    steps: dict[str, list[float]] = {"on": [], "off": []}
    for _ in range(rounds):
        for name, kept in (("on", runs // 20), ("off", None)):
            with tempfile.TemporaryDirectory(dir=folder) as fresh:
                steps[name] += (await soak(Path(fresh), runs, at_once, kept)).steps
    found = {name: percentiles(values) for name, values in steps.items()}
    for name, values in found.items():
        print(f"  retention {name:3}: " + ", ".join(f"{each} {value:.1f} ms" for each, value in values.items()))
    ratios = {f"ratio_{each}": round(found["on"][each] / found["off"][each], 2) for each in found["on"]}
    print("  on / off: " + ", ".join(f"{name.removeprefix('ratio_')} {value}" for name, value in ratios.items()))
    return ratios


def soak_agent(folder: Path, runs: int, a_second: float) -> Soaked:
    """Runs through a real agent process that keeps ended ones for a minute only, a service beside it."""
    agent = agent_process(folder, AGENT_SPEC)
    worker = scripted_process(folder, "worker", "rag,coding,review", agent.target)
    soaked = Soaked()
    with running(agent, worker):
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        begun = time.monotonic()
        for number in range(runs):
            time.sleep(max(0.0, begun + number / a_second - time.monotonic()))
            client.start_run(PAYLOAD)
            if (number + 1) % max(1, runs // SAMPLES) == 0:
                ended = client.agent.GetAgent(agent_pb2.GetAgentRequest()).ended
                soaked.sizes.append(measure(folder / "milepost.db", number + 1, ended))
        client.close()
    return soaked


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--pace", type=float, default=PACE, help="most runs a second, without services")
    parser.add_argument("--kept", type=int, default=500, help="ended runs that retention leaves")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind, for the latency")
    parser.add_argument("--agent-runs", type=int, default=900, help="through a real agent process")
    parser.add_argument("--rate", type=float, default=5.0, help="runs a second through the agent process")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as fresh:
        grown = await soak(Path(fresh), options.runs, options.at_once, options.kept, options.pace)
    show(f"store and graph, {options.at_once} at once, {options.kept} kept", grown)
    print(f"time of a step, {options.rounds} rounds of 500 runs each way, 8 at once")
    ratios = await compare(options.folder, options.rounds, 500, 8)
    result: dict[str, Any] = {"runs": options.runs, "growth": round(grown.growth, 3), **ratios}
    if options.agent_runs:
        with tempfile.TemporaryDirectory(dir=options.folder) as fresh:
            agent = soak_agent(Path(fresh), options.agent_runs, options.rate)
        show(f"agent process, {options.rate:g} runs a second, kept for a minute", agent)
        result |= {"agent_runs": options.agent_runs, "agent_growth": round(agent.growth, 3)}
    print(json.dumps(result))
    return int(max(result["growth"], result.get("agent_growth", 0.0)) > LIMIT)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
