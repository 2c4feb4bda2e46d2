"""Children that can be killed: one process imports everything once and forks a fresh child per order.

Run as a script it reads orders (JSON lines) from standard input and answers with the child's exit status.
"""

import asyncio
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from milepost_agent.driver import Driver
from milepost_agent.store import (
    ENDED,
    BackupFolder,
    LedgerEntry,
    NewEvent,
    NewMessage,
    NewRequest,
    NewRun,
    Retention,
    RetentionPolicy,
    Store,
    StoreError,
)
from milepost_agent.store import retention as pacing

NODES = ("research", "code", "review", "finish")
SIGKILLED = -9


def new_run(run_id: str = "run", **changes: Any) -> NewRun:
    fields = {"request_hash": "hash", "workflow": "flow", "workflow_digest": "digest", "prompt": "do it"}
    return NewRun(run_id, f"correlation-{run_id}", **(fields | changes), max_hops=5, max_cycles=2)


class Log:
    """Lines that survive the writer's death, in the order in which they were written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(line + "\n")

    def lines(self) -> list[str]:
        return self._path.read_text().splitlines() if self._path.exists() else []


async def append(database: str, log: str, count: int = 12, size: int = 10) -> None:
    """Appends numbered events and ledger entries, four at a time; logs each once it is acknowledged."""
    acknowledged = Log(Path(log))
    store = await Store.open(Path(database))
    try:
        await store.accept_run(new_run())
        acknowledged.add("run")
        numbers = iter(range(count))

        async def worker() -> None:
            for number in numbers:
                event = NewEvent("Number", data={"number": number, "fill": "x" * size}, key=f"number-{number}")
                await store.commit("run", events=[event])
                acknowledged.add(f"event {number}")
                entry = LedgerEntry(f"task/{number}", "run", number, "Invoke", "hash", str(number).encode())
                await store.ledger_put(entry)
                acknowledged.add(f"call {number}")

        await asyncio.gather(*(worker() for _ in range(4)))
    finally:
        await store.close()


async def append_until_full(database: str, log: str) -> None:
    """Appends until the disk refuses, then reports how the store took it."""
    try:
        await append(database, log, count=100_000, size=4_000)
    except StoreError as error:
        Log(Path(log)).add(f"refused {type(error).__name__} {error}")


async def lead_a_life(database: str, log: str, end: str = "kill") -> None:
    """Four runs, a backup, and then more of everything; ends by SIGKILL with a log beside the file, or in order.

    At the backup, `early` and `waiting` are unfinished and `done` has ended. Then `early` gets an answer and a message,
    `waiting` ends, and `late` is accepted.
    """
    store = await Store.open(Path(database))
    for name in ("early", "waiting", "done"):
        await store.accept_run(new_run(name))
    for number in range(1200):
        store.note("early", NewEvent("Filler", data={"number": number, "fill": "x" * 4000}))
    completed = NewEvent("RunCompleted", data={"outcome": "Completed"})
    await store.commit("done", events=[completed], update={"state": ENDED, "outcome": "Completed"})
    folder = BackupFolder(Path(database).parent / "backups")
    manifest, _ = folder.create(
        Path(database), backup_id="", epoch=store.epoch, cause="request", workflow="flow", stop=threading.Event()
    )
    await store.ledger_put(LedgerEntry("task/0", "early", 0, "Invoke", "hash", b"the answer"))
    await store.send_message("early", NewMessage("message", "user", "coder", "hurry"))
    await store.commit("waiting", events=[completed], update={"state": ENDED, "outcome": "Completed", "result": "r"})
    await store.accept_run(new_run("late"))
    for number in range(10):
        await store.commit("late", events=[NewEvent("Number", data={"number": number, "fill": "x" * 2000})])
    if end == "kill":
        Log(Path(log)).add(manifest.backup_id)
        os.kill(os.getpid(), 9)
    await store.close()
    Log(Path(log)).add(manifest.backup_id)


async def back_up(database: str, log: str, backup_id: str = "") -> None:
    """Makes a backup of a file that nobody has open, and keeps two."""
    store = await Store.open(Path(database))
    folder = BackupFolder(Path(database).parent / "backups")
    try:
        manifest, existing = folder.create(
            store.path, backup_id=backup_id, epoch=7, cause="request", workflow="flow", stop=threading.Event()
        )
        Log(Path(log)).add(f"{manifest.backup_id} {existing}")
        folder.rotate(2)
    except StoreError as error:
        Log(Path(log)).add(f"refused {type(error).__name__} {error}")
    finally:
        await store.close()


async def fill_and_back_up(database: str, log: str) -> None:
    """Leaves as much room on a disk as the database takes, tries a backup, and writes on."""
    await append(database, log, count=100, size=4_000)
    size = Path(database).stat().st_size
    (Path(database).parent / "ballast").write_bytes(b"x" * (shutil.disk_usage(Path(database).parent).free - size))
    await back_up(database, log)
    await append(database, log, count=110)
    await back_up(database, log)


async def back_up_without_room(database: str, log: str) -> None:
    """No file may grow beyond a limit that the backup needs and the next commits do not."""
    await append(database, log + ".first", count=100, size=4_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = await Store.open(Path(database))
    folder = BackupFolder(Path(database).parent / "backups")
    try:
        folder.create(store.path, backup_id="", epoch=2, cause="request", workflow="", stop=threading.Event())
    except StoreError as error:
        Log(Path(log)).add(f"refused {type(error).__name__} {error}")
    await store.commit("run", events=[NewEvent("Number")])
    Log(Path(log)).add("committed")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.close()


async def dump(database: str, log: str) -> None:
    """Logs what the file holds in the form in which `append` acknowledges it."""
    store = await Store.open(Path(database))
    try:
        after = 0
        while page := await store.events("run", after=after):
            after = page[-1].sequence
            for event in page:
                if event.type == "Number":
                    number = event.data["number"]
                    Log(Path(log)).add(f"event {number}")
                    if await store.ledger_get(f"task/{number}"):
                        Log(Path(log)).add(f"call {number}")
    finally:
        await store.close()


def extend(left: list[str], right: list[str]) -> list[str]:
    return left + right


class State(TypedDict):
    done: Annotated[list[str], extend]


def build(store: Store, calls: Log) -> Any:
    def node(name: str) -> Callable[[State, Runtime[None]], Coroutine[Any, Any, dict[str, list[str]]]]:
        async def work(state: State, runtime: Runtime[None]) -> dict[str, list[str]]:
            info = runtime.execution_info
            assert info is not None
            step = store.step("run", info.task_id)
            call = f"{info.task_id}/0"
            if await store.ledger_get(call) is None:
                calls.add(f"call {name}")
                await store.ledger_put(LedgerEntry(call, "run", 0, "Invoke", "hash", name.encode()))
                calls.add(f"recorded {name}")
            step.event(NewEvent("StepCompleted", step=name))
            step.message(NewMessage(f"message-{name}", name, "user", "done"))
            step.update(current_step=name, remaining_hops=5 - len(state["done"]) - 1)
            if name == NODES[-1]:
                step.event(NewEvent("RunEnded"))
                step.update(state=ENDED, outcome="Completed")
            return {"done": [name]}

        return work

    graph = StateGraph(State)
    for name in NODES:
        graph.add_node(name, node(name))
    for left, right in zip([START, *NODES], [*NODES, END], strict=True):
        graph.add_edge(left, right)
    return graph.compile(checkpointer=store.saver)


async def drive(database: str, log: str) -> None:
    """Accepts one run and drives its graph to the end, going on from wherever the file says."""
    store = await Store.open(Path(database), history=False)
    try:
        await store.accept_run(new_run())
        Log(Path(log)).add("accepted")
        driver = Driver(build(store, Log(Path(log))))
        for run in await store.unfinished_runs():
            config: Any = {"configurable": {"thread_id": run.run_id}, "recursion_limit": 20}
            begun = await store.saver.aget_tuple(config) is not None
            await driver.drive(None if begun else {"done": []}, config)
    finally:
        await store.close()


async def fill(store: Store, run_id: str, events: int = 5, end: bool = True) -> None:
    """A run with something of it in every table."""
    await store.accept_run(new_run(run_id))
    config: Any = {"configurable": {"thread_id": run_id, "checkpoint_ns": ""}}
    placed = await store.saver.aput(config, {**empty_checkpoint(), "id": f"checkpoint-{run_id}"}, {}, {})
    await store.saver.aput_writes(placed, [("done", [run_id])], "task")
    await store.ledger_put(LedgerEntry(f"{run_id}/0", run_id, 0, "Invoke", "hash", b"answer"))
    await store.send_message(run_id, NewMessage(f"message-{run_id}", "user", "coder", "do"))
    noted = [NewEvent("Number", data={"number": number}) for number in range(events)]
    request = NewRequest(f"request-{run_id}", "Fill", "hash")
    update = {"state": ENDED, "outcome": "Completed"} if end else None
    await store.commit(run_id, events=noted, update=update, request=request)


def retention(store: Store, *, ended_runs: int = 0, max_age: float = 1e12, at_least: float = 0.0) -> Retention:
    policy = RetentionPolicy(ended_runs, max_age, at_least)
    return store.retention(policy, keep_workflow="digest", busy=lambda run_id: False)


async def retain(database: str, log: str, kept: int) -> None:
    """Removes all ended runs but so many, without rest."""
    pacing.PAUSE = pacing.LINGER = 0.0
    store = await Store.open(Path(database))
    try:
        await retention(store, ended_runs=kept).sweep()
        Log(Path(log)).add("swept")
    finally:
        await store.close()


async def hold(database: str, log: str) -> None:
    """Owns the file until killed."""
    await Store.open(Path(database))
    Log(Path(log)).add("open")
    await asyncio.sleep(3600)


async def try_open(database: str, log: str, uid: int = 0) -> None:
    """Opens the file, as another user if asked to, and logs what came of it."""
    with Path(log).open("a") as said:
        if uid:
            os.setgid(uid)
            os.setuid(uid)
        try:
            store = await Store.open(Path(database))
        except StoreError as error:
            said.write(f"{type(error).__name__}: {error}\n")
        else:
            said.write("opened\n")
            await store.close()


WORK: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    work.__name__: work
    for work in (
        append,
        append_until_full,
        back_up,
        back_up_without_room,
        dump,
        drive,
        fill_and_back_up,
        hold,
        lead_a_life,
        retain,
        try_open,
    )
}


@dataclass
class Zygote:
    """The client's side: starts children, waits for them."""

    process: "subprocess.Popen[str]"

    @classmethod
    def start(cls) -> "Zygote":
        pipe = subprocess.PIPE
        return cls(subprocess.Popen([sys.executable, __file__], stdin=pipe, stdout=pipe, text=True))

    def run(self, work: str, *arguments: object, failpoints: str = "", background: bool = False) -> int:
        """Exit status of a child (negative: killed by that signal), or its pid when it is left in the background."""
        order = [work, [str(each) if isinstance(each, Path) else each for each in arguments], failpoints, background]
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def stop(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def in_own_mounts(script: str) -> None:
    """Runs a shell script that may mount without anyone else seeing it; skips the test where that is not allowed."""
    if os.getuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    subprocess.run(["unshare", "-m", "sh", "-ec", script], check=True)


def main() -> None:
    if len(sys.argv) > 1:
        asyncio.run(WORK[sys.argv[1]](*sys.argv[2:]))
        return
    for line in sys.stdin:
        work, arguments, failpoints, background = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.environ["MILEPOST_FAILPOINTS"] = failpoints
            os.dup2(2, 1)
            status = 1
            try:
                asyncio.run(WORK[work](*arguments))
                status = 0
            finally:
                os._exit(status)
        answer = pid if background else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
