"""One side of the benchmark of durable steps, in a process of its own so that its memory is its own.

Usage: durability_side.py milepost|stock|none RUNS AT_ONCE PAYLOAD_BYTES FOLDER   (one JSON object on standard output)
"""

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

from milepost_agent.collector import relax
from milepost_agent.driver import Driver
from milepost_agent.store import Store

STEPS = 4
TRACED = "BENCH_COUNT_COMMITS"
"""Set: the stock saver's statements are counted, which slows it a little. Ours counts its commits always."""
Drive = Callable[[str], Awaitable[Any]]


def append(left: list[str], right: list[str]) -> list[str]:
    return left + right


class State(TypedDict):
    outputs: Annotated[list[str], append]


@dataclass
class Measured:
    """What one round of one side took. Latencies in seconds a run, memory and file in bytes."""

    steps: int
    seconds: float
    cpu_seconds: float
    latencies: list[float]
    commits: int
    peak_memory: int
    file_growth: int


@dataclass
class Side:
    """An open store with its graph: how a run is driven, and how many commits there were."""

    drive: Drive
    commits: Callable[[], int] = field(default=lambda: 0)


def build(saver: Any, payload: str) -> Any:
    """The graph of both sides: four nodes, each adds a message to the state."""
    from langgraph.graph import END, START, StateGraph  # noqa: PLC0415 - the sides import it each in their way

    async def work(state: State) -> dict[str, list[str]]:
        return {"outputs": [payload]}

    graph = StateGraph(State)
    names = [f"step{number}" for number in range(STEPS)]
    for name in names:
        graph.add_node(name, work)
    for left, right in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(left, right)
    return graph.compile(checkpointer=saver)


def config(run: str) -> Any:
    return {"configurable": {"thread_id": run}, "recursion_limit": 20}


@asynccontextmanager
async def milepost(folder: Path, payload: str) -> AsyncIterator[Side]:
    """As the agent keeps and drives its runs."""
    store = await Store.open(folder / "milepost.db", history=False)
    driver = Driver(build(store.saver, payload))
    relax()
    yield Side(lambda run: driver.drive({"outputs": []}, config(run), fresh=True), lambda: store.counters.commits)
    await store.close()


@asynccontextmanager
async def stock(folder: Path, payload: str) -> AsyncIterator[Side]:
    """As LangGraph's documentation says, with the durability of a step that Milepost has."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver  # noqa: PLC0415

    commits = 0

    def count(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    async with AsyncSqliteSaver.from_conn_string(str(folder / "stock.db")) as saver:
        await saver.setup()
        await saver.conn.execute("PRAGMA synchronous=FULL")
        graph = build(saver, payload)
        if os.environ.get(TRACED):
            await saver.conn.set_trace_callback(count)
        yield Side(lambda run: graph.ainvoke({"outputs": []}, config(run), durability="sync"), lambda: commits)


@asynccontextmanager
async def none(folder: Path, payload: str) -> AsyncIterator[Side]:
    """LangGraph alone, as it is used, without keeping anything."""
    graph = build(None, payload)
    yield Side(lambda run: graph.ainvoke({"outputs": []}, config(run)))


SIDES: dict[str, Callable[[Path, str], AbstractAsyncContextManager[Side]]] = {
    "milepost": milepost,
    "stock": stock,
    "none": none,
}


async def measure(name: str, runs: int, at_once: int, payload: int, folder: Path) -> Measured:
    """Drives `runs` runs, `at_once` of them at a time, in an empty folder."""
    latencies: list[float] = []
    async with SIDES[name](folder, "x" * payload) as side:
        free = asyncio.Semaphore(at_once)

        async def run(number: int) -> None:
            async with free:
                started = time.perf_counter()
                result = await side.drive(f"run-{number}")
                latencies.append(time.perf_counter() - started)
                assert len(result["outputs"]) == STEPS

        for number in range(-3, 0):  # what is made at first use
            await run(number)
        latencies.clear()
        gc.collect()
        before, started, cpu = side.commits(), time.perf_counter(), time.process_time()
        await asyncio.gather(*(run(number) for number in range(runs)))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        commits = side.commits() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Measured(runs * STEPS, seconds, cpu, latencies, commits, peak, size_of(folder))


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if ".db" in file.name)


if __name__ == "__main__":
    name, runs, at_once, payload, folder = sys.argv[1:]
    measured = asyncio.run(measure(name, int(runs), int(at_once), int(payload), Path(folder)))
    print(json.dumps(asdict(measured)))
