"""Recovery: the real agent process is killed in the middle of many runs and started again; its services stay up.

Times count from just before the process is made, and end with what the agent committed to its journal: a run goes on
when its step is begun again, which is when its call goes out again.
"""

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import grpc.aio

from milepost.agent.v1 import agent_pb2, agent_pb2_grpc

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration"))
from processes import AgentClient, Process, agent_process, list_calls, running, scripted_process

PATIENCE = 120.0
HELD = "hold=coder/1/3000 Write a function"
WORKFLOW: dict[str, Any] = {
    "pattern": "linear",
    "steps": [
        {"name": "research", "role": "researcher", "capability": "rag", "timeout": "1h"},
        {"name": "code", "role": "coder", "capability": "coding", "timeout": "1h"},
        {"name": "review", "role": "reviewer", "capability": "review", "timeout": "1h"},
    ],
    "arbitrator": {"modelRef": {"name": "worker"}},
    "checkpoint": {"retention": {"endedRuns": 100_000}},
}
STARTED = "SELECT run_id, time FROM journal WHERE type = 'StepStarted' AND step = 'code' AND sequence > ?"


@dataclass
class Resumed:
    """Seconds from the start of the process until the first run went on, and until all did."""

    first: float
    all: float


@dataclass
class Scene:
    """An agent with runs that all wait for a service in their second step."""

    agent: Process
    worker: Process
    file: Path
    runs: int

    def query(self, statement: str, *values: Any) -> list[Any]:
        connection = apsw.Connection(str(self.file), flags=apsw.SQLITE_OPEN_READONLY)
        with contextlib.closing(connection):
            connection.set_busy_timeout(5_000)
            return connection.execute(statement, values).fetchall()

    def change(self, apply: Callable[[apsw.Connection], object]) -> None:
        """Changes the file of an agent that does not run, in one transaction."""
        connection = apsw.Connection(str(self.file))
        with contextlib.closing(connection):
            connection.pragma("synchronous", "off")
            with connection:
                apply(connection)

    def restart(self) -> Resumed:
        """Starts the agent, which must be dead, and waits until every run is in its step again."""
        after = self.query("SELECT MAX(sequence) FROM journal")[0][0]
        began = time.time()
        self.agent.start()
        deadline = time.monotonic() + PATIENCE
        times: dict[str, float] = {}
        while len(times) < self.runs:
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(times)} of {self.runs} runs went on within {PATIENCE} s: see {self.agent.log}")
            time.sleep(0.1)
            times = {}
            for run_id, moment in self.query(STARTED, after):
                times.setdefault(run_id, moment)
        resumed = self.query("SELECT COUNT(DISTINCT run_id) FROM journal WHERE type = 'RunResumed'")[0][0]
        if resumed < self.runs:
            raise SystemExit(f"{resumed} of {self.runs} runs have a RunResumed")
        return Resumed(min(times.values()) - began, max(times.values()) - began)

    def wait_asked(self, times: int) -> None:
        """Waits until the service was asked so many times for the call of each run."""
        deadline = time.monotonic() + PATIENCE
        while (asked := sum(call.requested >= times for call in list_calls(self.worker.target))) < self.runs:
            if time.monotonic() > deadline:
                raise SystemExit(f"the service was asked {times} times for {asked} of {self.runs} calls")
            time.sleep(0.1)

    def wait_working(self) -> None:
        """Waits until the service works on a call of each run: the last ones may still be on their way."""
        deadline = time.monotonic() + PATIENCE
        while (begun := sum(call.started > call.completed for call in list_calls(self.worker.target))) < self.runs:
            if time.monotonic() > deadline:
                raise SystemExit(f"the service works on {begun} of {self.runs} calls")
            time.sleep(0.1)

    def kill(self) -> None:
        self.agent.kill()

    def forget_crashes(self) -> None:
        """So that a run that is interrupted by each round is not taken for the one that kills the process."""
        self.change(lambda connection: connection.execute("UPDATE runs SET crashes = 0"))


@contextlib.contextmanager
def interrupted(folder: Path, runs: int, ended: int = 0) -> Iterator[Scene]:
    """An agent that was killed with `runs` runs in their second step, after `ended` runs that came to their end."""
    agent = agent_process(folder, WORKFLOW, MILEPOST_LOG_LEVEL="WARNING")
    worker = scripted_process(folder, "worker", "rag,coding,review", agent.target)
    with running(agent, worker):
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        for number in range(ended):
            client.wait_ended(client.start_run(f"Write function {number}").run_id)
        scene = Scene(agent, worker, folder / "milepost.db", runs)
        before = scene.query("SELECT COALESCE(MAX(sequence), 0) FROM journal")[0][0]
        asyncio.run(_start_runs(agent.target, runs))
        deadline = time.monotonic() + PATIENCE
        while len({run_id for run_id, _ in scene.query(STARTED, before)}) < runs:
            if time.monotonic() > deadline:
                raise SystemExit(f"{runs} runs were not in their second step within {PATIENCE} s: see {agent.log}")
            time.sleep(0.1)
        client.close()
        scene.wait_working()
        scene.kill()
        yield scene


async def _start_runs(target: str, runs: int) -> None:
    async with grpc.aio.insecure_channel(target) as channel:
        stub = agent_pb2_grpc.AgentServiceStub(channel)
        few = asyncio.Semaphore(64)

        async def start(number: int) -> None:
            async with few:
                await stub.StartRun(agent_pb2.StartRunRequest(prompt=f"{HELD} {number}"), timeout=PATIENCE)

        await asyncio.gather(*(start(number) for number in range(runs)))


def many_runs(folder: Path, runs: int, rounds: int) -> dict[str, float]:
    """Medians over some kills of the same runs."""
    found = []
    with interrupted(folder, runs) as scene:
        for number in range(rounds):
            scene.forget_crashes()
            found.append(scene.restart())
            print(
                f"  {runs} runs, round {number + 1}: first {found[-1].first:.2f} s, all {found[-1].all:.2f} s",
                flush=True,
            )
            scene.wait_asked(number + 2)
            scene.kill()
    return {
        "resume_first_s": round(statistics.median(each.first for each in found), 3),
        "resume_1000_s": round(statistics.median(each.all for each in found), 3),
        "interrupted_runs": runs,
    }


def beside_ended_runs(folder: Path, counts: tuple[int, ...], rounds: int) -> list[dict[str, float]]:
    """Time to the first and last of a few interrupted runs, with more and more ended ones in the same file."""
    table = []
    with interrupted(folder, runs=10, ended=1) as scene:
        there = 1
        for count in counts:
            scene.change(lambda connection, more=count - there: add_ended(connection, more))  # type: ignore[misc]
            there = max(count, there)
            found = []
            for _ in range(rounds):
                scene.forget_crashes()
                found.append(scene.restart())
                scene.kill()
            size = scene.file.stat().st_size / 1024 / 1024
            first, last = (statistics.median(getattr(each, name) for each in found) for name in ("first", "all"))
            row = {"ended_runs": count, "resume_first_s": round(first, 3), "resume_all_s": round(last, 3)}
            table.append({**row, "file_mib": round(size)})
            print(f"  {count:,} ended runs ({size:,.0f} MiB): first {first:.2f} s", flush=True)
    return table


def add_ended(connection: apsw.Connection, more: int) -> None:
    """Copies of the run that ended, under ids of their own, in all tables that tell of a run."""
    if more <= 0:
        return
    connection.pragma("cache_size", -500_000)
    model = connection.execute("SELECT run_id FROM runs WHERE state = 'ended' LIMIT 1").get
    start = connection.execute("SELECT COUNT(*) FROM runs").get
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    for table in tables:
        columns = list(connection.execute(f"SELECT name, type, pk FROM pragma_table_info('{table}')"))
        names = {name for name, _, _ in columns}
        key = "thread_id" if "thread_id" in names else "run_id"
        if key not in names:
            continue
        kept = [name for name, kind, pk in columns if not (pk == 1 and kind == "INTEGER")]
        values = ", ".join(_copied(name, key) for name in kept)
        connection.execute(
            f"WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 + ?2 - 1) "
            f"INSERT INTO {table} ({', '.join(kept)}) SELECT {values} FROM n, {table} AS t WHERE t.{key} = ?3",
            (start, more, model),
        )


def _copied(column: str, key: str) -> str:
    fresh = "printf('%08x-0000-4000-8000-000000000000', n.i)"
    if column == key:
        return fresh
    if column in {"correlation_id", "call_id", "message_id", "request_id"}:
        return f"{fresh} || t.{column}"
    return f"t.{column}"
