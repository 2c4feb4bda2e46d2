"""Durable steps per second of a 4-node LangGraph run: Milepost's store beside the stock AsyncSqliteSaver.

Both with synchronous=FULL and durability="sync", on the same disk, in alternating rounds of one process. What a
commit costs decides the ratio: "no checkpointer" shows what LangGraph itself allows on this CPU. To see a disk with
the commit time of a network block volume on a faster one, for both alike:
    cc -shared -fPIC -O2 -o slow_fsync.so benchmarks/slow_fsync.c -ldl
    FSYNC_DELAY_US=2000 LD_PRELOAD=./slow_fsync.so python benchmarks/bench_store.py
Usage: bench_store.py [--folder DIR] [--rounds N] [--runs N] [--alone N] [--payload BYTES] [--profile]
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from milepost_agent.store import Store

NODES = 4
Saver = BaseCheckpointSaver[Any]
Opener = Callable[[Path], AbstractAsyncContextManager[Saver]]


def append(left: list[str], right: list[str]) -> list[str]:
    return left + right


class State(TypedDict):
    outputs: Annotated[list[str], append]


def build(saver: Saver | None, payload: str) -> Any:
    async def work(state: State) -> dict[str, list[str]]:
        return {"outputs": [payload]}

    graph = StateGraph(State)
    names = [f"step{number}" for number in range(NODES)]
    for name in names:
        graph.add_node(name, work)
    for left, right in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(left, right)
    return graph.compile(checkpointer=saver)


@asynccontextmanager
async def ours(folder: Path) -> AsyncIterator[Saver]:
    store = await Store.open(folder / "milepost.db")
    try:
        yield store.saver
    finally:
        print(f"    {store.counters.commits} commits for {store.counters.items} writes", end="; ")
        await store.close()


@asynccontextmanager
async def stock(folder: Path) -> AsyncIterator[Saver]:
    async with AsyncSqliteSaver.from_conn_string(str(folder / "stock.db")) as saver:
        await saver.setup()
        await saver.conn.execute("PRAGMA synchronous=FULL")
        yield saver


@asynccontextmanager
async def nothing(folder: Path) -> AsyncIterator[Any]:
    yield None


async def measure(open_saver: Opener, folder: Path, runs: int, at_once: int, payload: str, profile: bool) -> float:
    """Steps per second of `runs` runs, `at_once` of them at a time, in a new database."""
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        async with open_saver(Path(fresh)) as saver:
            graph = build(saver, payload)
            free = asyncio.Semaphore(at_once)

            async def run(number: int) -> None:
                async with free:
                    config = {"configurable": {"thread_id": f"run-{number}"}}
                    durability = {"durability": "sync"} if saver else {}
                    result = await graph.ainvoke({"outputs": []}, config, **durability)
                    assert len(result["outputs"]) == NODES

            await run(-1)
            profiler = cProfile.Profile()
            if profile:
                profiler.enable()
            started = time.perf_counter()
            await asyncio.gather(*(run(number) for number in range(runs)))
            elapsed = time.perf_counter() - started
            if profile:
                profiler.disable()
                pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    return runs * NODES / elapsed


def fsync_milliseconds(folder: Path) -> float:
    """Median of an 8 KiB append with fdatasync."""
    with tempfile.TemporaryFile(dir=folder) as file:
        times = []
        for _ in range(200):
            started = time.perf_counter()
            os.write(file.fileno(), b"x" * 8192)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=300, help="runs per round with 100 at once")
    parser.add_argument("--alone", type=int, default=50, help="runs per round one after the other")
    parser.add_argument("--payload", type=int, default=2048, help="bytes that each node adds to the state")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    payload = "x" * options.payload
    print(f"8 KiB append + fdatasync: {fsync_milliseconds(options.folder):.2f} ms (median)")
    for title, runs, at_once in (("alone", options.alone, 1), ("100 at once", options.runs, 100)):
        figures: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            for name, opener in (("milepost", ours), ("stock", stock), ("no checkpointer", nothing)):
                speed = await measure(
                    opener, options.folder, runs, at_once, payload, options.profile and name == "milepost"
                )
                figures.setdefault(name, []).append(speed)
                print(f"    {title}, {name}: {speed:,.0f} steps/s")
        middle = {name: statistics.median(values) for name, values in figures.items()}
        ratio = middle["milepost"] / middle["stock"]
        print(", ".join([f"{title}: ratio {ratio:.2f}", *(f"{name} {value:,.0f}/s" for name, value in middle.items())]))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    asyncio.run(main())
