"""One mode of the benchmark of telemetry, in a process of its own, which answers what it is asked.

Usage: obs_side.py off|shipping|debug PAYLOAD_BYTES FOLDER
"""

import asyncio
import contextlib
import ctypes
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from milepost_agent.agent import span_exporter
from milepost_agent.collector import relax
from milepost_agent.counts import Counts
from milepost_agent.driver import Driver
from milepost_agent.store import NewEvent, NewRun, Store
from milepost_agent.tracing.exporter import wait_exported
from milepost_service.correlation import correlation
from milepost_service.logs import configure_logging
from milepost_service.settings import ProcessSettings
from milepost_service.telemetry.counters import exports
from milepost_service.telemetry.log_queue import LogQueue

PR_SET_PDEATHSIG = 1
STEPS = 4
EVENTS = 4 * STEPS + 2
"""Of a run."""
WARM_UP = 20
LEAD_SECONDS = 0.5
WARM_UP_SECONDS = 120.0
log = logging.getLogger("milepost_agent.nodes.arbitrate")
SERVICES = [{"service": name, "capability": "coding", "confidence": 0.4} for name in ("coder", "writer")]
RECOMMENDED = {"services": SERVICES, "none_probability": 0.1, "relevance": 0.9, "path": "embedding", "duration_ms": 2.0}
CHOICES = [
    {"choice": f"invoke:{name}", "probability": 0.5, "prior": 0.5, "log_probability": -1.0}
    for name in ("coder", "writer")
]
DECIDED = {"action": "invoke", "service": "coder", "agreed": True, "choices": CHOICES, "duration_ms": 1.0}
REASON = "coder (0.62) over writer (0.38): the router gave 0.50, model coder agrees; 2 of 3 hops left"
USAGE = {"prompt_tokens": 120, "completion_tokens": 80, "duration_ms": 900.0, "queue_ms": 3.0}


def append(left: list[str], right: list[str]) -> list[str]:
    return left + right


class State(TypedDict):
    outputs: Annotated[list[str], append]


@dataclass(frozen=True)
class Context:
    run_id: str
    correlation_id: str


class Meter:
    """Time and CPU time since it was made; `noting` is what log records cost the runs' own thread, in seconds."""

    EXPORTS = frozenset({"span-export", "debug-export"})

    def __init__(self) -> None:
        self.noting = 0.0
        for queue in logging.getLogger().handlers:
            if isinstance(queue, LogQueue):
                self._time(queue)
        self._start = self._now()

    def read(self) -> tuple[float, float, float]:
        """Seconds, of them CPU time of the process, and of that telemetry's: of threads that no run has part in."""
        seconds, cpu, telemetry = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return seconds, cpu, telemetry + self.noting

    def _now(self) -> tuple[float, float, float]:
        cpu = time.process_time()
        runs = (thread.ident for thread in threading.enumerate() if thread.name not in self.EXPORTS)
        clocks = [time.pthread_getcpuclockid(ident) for ident in runs if ident is not None]
        return time.perf_counter(), cpu, cpu - sum(map(time.clock_gettime, clocks))

    def _time(self, queue: LogQueue) -> None:
        emit = type(queue).emit

        def timed(record: logging.LogRecord) -> None:
            started = time.thread_time()
            emit(queue, record)
            self.noting += time.thread_time() - started

        queue.emit = timed  # type: ignore[method-assign]


class Bench:
    """Runs of four steps; each journals what a hop of an agent does, and logs what it logs."""

    def __init__(self, store: Store, payload: str) -> None:
        self._store = store
        self._payload = payload
        graph = StateGraph(State, context_schema=Context)
        names = [f"step{number}" for number in range(1, STEPS + 1)]
        for number, name in enumerate(names, 1):
            graph.add_node(name, self._node(number, name))
        for left, right in zip([START, *names], [*names, END], strict=True):
            graph.add_edge(left, right)
        self._driver = Driver(graph.compile(checkpointer=store.saver))

    def _node(self, hop: int, name: str) -> Any:
        async def work(state: State, runtime: Runtime[Context]) -> dict[str, list[str]]:
            info = runtime.execution_info
            assert info is not None
            step = self._store.step(runtime.context.run_id, info.task_id)

            def event(kind: str, data: dict[str, Any], which: str = "") -> NewEvent:
                return NewEvent(kind, name, hop, data, key=f"{info.task_id}:{kind}:{which}")

            step.event(event("Recommended", RECOMMENDED))
            step.event(event("Decided", {**DECIDED, "reason": REASON, "role": name}))
            log.info("Step %s: recommended %s, decided %s (%s): %s", name, "coder", "coder", "agreed", REASON)
            started = event("StepStarted", {"service": "coder", "attempt": 1}, f"{self._store.epoch}.1")
            self._store.note(runtime.context.run_id, started)
            completed: dict[str, Any] = {
                "role": name,
                "service": "coder",
                "output": self._payload,
                "verdict": "",
                "usage": USAGE,
            }
            completed |= {"duration_ms": 1.0, "replayed": False, "citations": [], "tool_calls": [], "cycle": 0}
            completed |= {"remaining_hops": STEPS - hop, "current_cycle": 0, "max_cycles": 0}
            step.event(event("StepCompleted", completed))
            step.update(state="running", current_step=name, remaining_hops=STEPS - hop, result=self._payload)
            if hop == STEPS:
                step.event(event("RunCompleted", {"outcome": "Completed", "reason": "", "result": self._payload}))
                step.update(state="ended", outcome="Completed")
            return {"outputs": [self._payload]}

        return work

    async def run(self) -> None:
        run_id, correlation_id = str(uuid.uuid4()), str(uuid.uuid4())
        await self._store.accept_run(NewRun(run_id, correlation_id, "hash", "flow", "digest", "go", STEPS, 0))
        config: Any = {"configurable": {"thread_id": run_id}, "recursion_limit": 20}
        with correlation(correlation_id):
            done = await self._driver.drive(
                {"outputs": []}, config, context=Context(run_id, correlation_id), fresh=True
            )
        assert len(done["outputs"]) == STEPS


async def serve(mode: str, payload: int, folder: Path) -> None:
    """Does what the lines of standard input ask for, one after the other, and answers each with figures as JSON.

    `run RUNS AT_ONCE`: so many runs, after half a second of runs that are not measured, because the exporter takes the
    time for which the process stood still for a time in which nothing happened. `drain SECONDS`: no runs, so that spans
    are sent for so long.
    """
    store = await Store.open(folder / "milepost.db", history=False)
    await store.journal_own([NewEvent("AgentStarted", data={"epoch": store.epoch})], correlation_id=str(uuid.uuid4()))
    spans = span_exporter(store, "bench")
    if spans is not None:
        await spans.start()
    bench = Bench(store, "x" * payload)
    relax()
    async with debugging(store) if mode == "debug" else contextlib.nullcontext():
        for _ in range(WARM_UP):  # what is made at first use, of the export too
            await bench.run()
        if spans is not None:
            assert await asyncio.to_thread(wait_exported, spans, WARM_UP_SECONDS), (
                "the receiver does not take the spans"
            )
        gc.collect()
        print(json.dumps({}), flush=True)
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            figures = await (turn(bench, *map(int, words[1:])) if words[0] == "run" else drain(spans, int(words[1])))
            figures["left"] = spans.lag() if spans else 0
            figures |= {signal: exports.exported.get(signal, 0) for signal in ("spans", "logs", "metrics")}
            figures["dropped"] = sum(exports.dropped.values())
            print(json.dumps(figures), flush=True)
    if spans is not None:
        await asyncio.to_thread(spans.stop)
    await store.close()


async def turn(bench: Bench, runs: int, at_once: int) -> dict[str, float]:
    """What a step took while `runs` runs were made, `at_once` of them at a time."""
    free = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with free:
            await bench.run()

    begun = time.monotonic()
    while time.monotonic() < begun + LEAD_SECONDS:
        await asyncio.gather(*(one() for _ in range(at_once)))
    meter = Meter()
    await asyncio.gather(*(one() for _ in range(runs)))
    seconds, cpu, telemetry = meter.read()
    per_step = 1e6 / (runs * STEPS)
    return {
        "us_per_step": seconds * per_step,
        "cpu_us_per_step": (cpu - telemetry) * per_step,
        "telemetry_us_per_step": telemetry * per_step,
    }


async def drain(spans: Any, seconds: int) -> dict[str, float]:
    """CPU time that the spans of a step take, made and sent while no run goes on."""
    before, cpu = spans.lag(), time.process_time()
    await asyncio.sleep(seconds)
    events = before - spans.lag()
    return {"cpu_us_per_step": (time.process_time() - cpu) / max(events, 1) * EVENTS / STEPS * 1e6}


@contextlib.asynccontextmanager
async def debugging(store: Store) -> AsyncIterator[None]:
    """Logs in detail, and sends log records and metrics, as an agent in debug does."""
    from milepost_agent.metrics import Metrics  # noqa: PLC0415
    from milepost_service.observability import ProcessObservability, add_metrics  # noqa: PLC0415
    from milepost_service.telemetry.mode import process_mode  # noqa: PLC0415

    metrics = Metrics(Counts(), asyncio.get_running_loop())
    metrics.show(store)
    add_metrics(metrics.collect)
    observability = ProcessObservability(ProcessSettings(log_format="json"), "bench")
    process_mode.decide("debug")
    try:
        yield
    finally:
        await observability.close()


if __name__ == "__main__":
    mode, payload, folder = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # who stands still would outlive a parent that was killed
    with Path(os.devnull).open("w") as nowhere:
        sys.stderr, errors = nowhere, sys.stderr
        configure_logging(ProcessSettings(log_format="json"), name="bench")
        sys.stderr = errors
        asyncio.run(serve(mode, int(payload), Path(folder)))
