"""Real processes killed with SIGKILL at every failpoint of the store, at every passage."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost_agent.failpoints import STORE_FAILPOINTS
from milepost_agent.store import Store
from store_zygote import NODES, SIGKILLED, Log, Zygote

# A kill at one of these comes after a call was made and before its answer was recorded: only then is it made again.
BEFORE_COMMIT = {"store.queued", "store.item_applied", "store.before_commit"}


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote.start()
    yield zygote
    zygote.stop()


async def assert_acknowledged(database: Path, acknowledged: list[str]) -> None:
    store = await Store.open(database)
    try:
        events = [event.data["number"] for event in await store.events("run") if event.type == "Number"]
        assert len(events) == len(set(events))
        for line in acknowledged:
            kind, _, number = line.partition(" ")
            if kind == "run":
                assert await store.get_run("run") is not None
            elif kind == "event":
                assert int(number) in events
            else:
                entry = await store.ledger_get(f"task/{number}")
                assert entry is not None
                assert entry.response == number.encode()
    finally:
        await store.close()


@pytest.mark.requirement("DUR-1", "DUR-2")
@pytest.mark.parametrize("failpoint", sorted(STORE_FAILPOINTS - {"checkpoint.writes_stored", "checkpoint.stored"}))
async def test_what_was_acknowledged_survives_a_kill_and_is_not_doubled(
    zygote: Zygote, tmp_path: Path, failpoint: str
) -> None:
    killed = 0
    for passage in (1, 2, 3, 5, 8):
        database, log = tmp_path / f"{passage}.db", Log(tmp_path / f"{passage}.log")
        status = zygote.run("append", database, tmp_path / f"{passage}.log", failpoints=f"{failpoint}=kill@{passage}")
        assert status in (SIGKILLED, 0)
        killed += status == SIGKILLED
        await assert_acknowledged(database, log.lines())
        assert zygote.run("append", database, tmp_path / f"{passage}.log") == 0
        await assert_acknowledged(database, log.lines())
        assert {f"event {number}" for number in range(12)} <= set(log.lines())
    assert killed >= 1


@pytest.mark.requirement("DUR-3")
@pytest.mark.parametrize("failpoint", sorted(STORE_FAILPOINTS))
async def test_each_step_of_a_graph_is_committed_exactly_once(zygote: Zygote, tmp_path: Path, failpoint: str) -> None:
    passage = 0
    status = SIGKILLED
    while status == SIGKILLED:
        passage += 1
        database, log = tmp_path / f"{passage}.db", tmp_path / f"{passage}.log"
        status = zygote.run("drive", database, log, failpoints=f"{failpoint}=kill@{passage}")
        if status == SIGKILLED:
            assert zygote.run("drive", database, log) == 0
        await assert_driven_once(database, Log(log).lines(), repeated_calls=failpoint in BEFORE_COMMIT)
    assert status == 0
    assert passage > 1, "the failpoint was never passed"


async def assert_driven_once(database: Path, log: list[str], repeated_calls: bool) -> None:
    store = await Store.open(database)
    try:
        events = [(event.type, event.step) for event in await store.events("run")]
        assert events == [("RunAccepted", ""), *(("StepCompleted", name) for name in NODES), ("RunEnded", "")]
        assert [message.message_id for message in await store.messages("run")] == [f"message-{name}" for name in NODES]
        run = await store.get_run("run")
        assert run is not None
        assert (run.state, run.outcome, run.current_step, run.remaining_hops) == ("ended", "Completed", "finish", 1)
        assert run.last_sequence == (await store.events("run"))[-1].sequence
    finally:
        await store.close()
    for name in NODES:
        if f"recorded {name}" in log:
            assert f"call {name}" not in log[log.index(f"recorded {name}") :], "a recorded call was repeated"
        assert log.count(f"call {name}") <= 1 + repeated_calls


@pytest.mark.requirement("DUR-3")
async def test_two_kills_in_one_run_leave_the_same_history(zygote: Zygote, tmp_path: Path) -> None:
    database, log = tmp_path / "m.db", tmp_path / "log"
    for failpoints in ("store.before_commit=kill@6", "store.after_commit=kill@3", "checkpoint.writes_stored=kill@2"):
        assert zygote.run("drive", database, log, failpoints=failpoints) == SIGKILLED
    assert zygote.run("drive", database, log) == 0
    await assert_driven_once(database, Log(log).lines(), repeated_calls=True)
