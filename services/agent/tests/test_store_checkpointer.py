"""The checkpointer: LangGraph's own conformance suite, the stock saver on our file, and what ours does better."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from milepost_agent.store import NewEvent, RunNotFound, Store, StoreError, database
from store_zygote import NODES, State, new_run

CONFIG: Any = {"configurable": {"thread_id": "run", "checkpoint_ns": ""}}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "m.db")
    await store.accept_run(new_run())
    yield store
    await store.close()


def build(saver: Any, *, failing: str = "", pausing: str = "", done: list[str] | None = None) -> Any:
    """The four nodes in a row; one may fail or ask."""

    def node(name: str) -> Any:
        async def work(state: State) -> dict[str, list[str]]:
            if done is not None:
                done.append(name)
            if name == failing:
                raise RuntimeError("power cut")
            answer = interrupt("go on?") if name == pausing else ""
            return {"done": [name + answer]}

        return work

    graph = StateGraph(State)
    for name in NODES:
        graph.add_node(name, node(name))
    for left, right in zip([START, *NODES], [*NODES, END], strict=True):
        graph.add_edge(left, right)
    return graph.compile(checkpointer=saver)


async def fail_at(store: Store, name: str) -> None:
    with pytest.raises(RuntimeError, match="power cut"):
        await build(store.saver, failing=name).ainvoke({"done": []}, CONFIG, durability="sync")


def checkpoint(identifier: str) -> Any:
    return {**empty_checkpoint(), "id": identifier}


@pytest.mark.requirement("DUR-9")
async def test_langgraphs_conformance_suite_passes_in_full(tmp_path: Path) -> None:
    count = 0

    @checkpointer_test(name="milepost")
    async def ours() -> AsyncIterator[Any]:
        nonlocal count
        count += 1
        store = await Store.open(tmp_path / f"{count}.db")
        yield store.saver
        await store.close()

    report = await validate(ours)
    assert set(report.results) == {capability.value for capability in Capability}
    assert {name: result.failures for name, result in report.results.items() if not result.passed} == {}
    assert sum(result.tests_passed for result in report.results.values()) >= 81


@pytest.mark.requirement("DUR-9")
async def test_the_stock_saver_reads_our_file_while_we_own_it(store: Store) -> None:
    await fail_at(store, "review")
    async with AsyncSqliteSaver.from_conn_string(f"{store.path}") as stock:
        theirs = await stock.aget_tuple(CONFIG)
        listed = [each.config async for each in stock.alist(CONFIG)]
    ours = await store.saver.aget_tuple(CONFIG)
    assert theirs is not None
    assert ours is not None
    assert ours.checkpoint["channel_values"]["done"] == ["research", "code"]
    assert (theirs.checkpoint, theirs.metadata, theirs.parent_config) == (
        ours.checkpoint,
        ours.metadata,
        ours.parent_config,
    )
    assert theirs.pending_writes == ours.pending_writes
    assert len(ours.pending_writes or []) == 1
    assert listed == [each.config async for each in store.saver.alist(CONFIG)]


@pytest.mark.requirement("DUR-9")
async def test_the_stock_saver_goes_on_with_our_run_and_we_with_its(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    store = await Store.open(path)
    await fail_at(store, "code")
    await store.close()
    done: list[str] = []
    async with AsyncSqliteSaver.from_conn_string(str(path)) as stock:
        with pytest.raises(RuntimeError, match="power cut"):
            await build(stock, failing="review", done=done).ainvoke(None, CONFIG, durability="sync")
    store = await Store.open(path)
    result = await build(store.saver, done=done).ainvoke(None, CONFIG, durability="sync")
    assert result["done"] == list(NODES)
    assert done == ["code", "review", "review", "finish"]
    await store.close()


async def test_a_file_made_by_the_stock_saver_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "stock.db"
    async with AsyncSqliteSaver.from_conn_string(str(path)) as stock:
        with pytest.raises(RuntimeError):
            await build(stock, failing="review").ainvoke({"done": []}, CONFIG, durability="sync")
        expected = [each.config async for each in stock.alist(CONFIG)]
    store = await Store.open(path)
    assert [each.config async for each in store.saver.alist(CONFIG)] == expected
    result = await build(store.saver).ainvoke(None, CONFIG, durability="sync")
    assert result["done"] == list(NODES)
    await store.close()


@pytest.mark.requirement("DUR-3")
async def test_a_clock_that_steps_back_does_not_bring_back_an_old_checkpoint(store: Store) -> None:
    # LangGraph's ids grow with the clock: the second checkpoint was made after the clock was put back.
    await store.saver.aput(CONFIG, checkpoint("1f0f0000-0000-6000-8000-000000000000"), {"step": 1}, {})
    parent: Any = {"configurable": {**CONFIG["configurable"], "checkpoint_id": "1f0f0000-0000-6000-8000-000000000000"}}
    await store.saver.aput(parent, checkpoint("1e000000-0000-6000-8000-000000000000"), {"step": 2}, {})
    latest = await store.saver.aget_tuple(CONFIG)
    assert latest is not None
    assert latest.metadata["step"] == 2
    assert [each.metadata["step"] async for each in store.saver.alist(CONFIG)] == [2, 1]
    before = {"configurable": {**CONFIG["configurable"], "checkpoint_id": "1e000000-0000-6000-8000-000000000000"}}
    assert [each.metadata["step"] async for each in store.saver.alist(CONFIG, before=before)] == [1]  # type: ignore[arg-type]
    await store.saver.aprune(["run"])
    assert [each.metadata["step"] async for each in store.saver.alist(CONFIG)] == [2]


@pytest.mark.requirement("DUR-3")
async def test_a_run_goes_on_from_its_last_step_after_the_clock_stepped_back(store: Store) -> None:
    await fail_at(store, "code")
    # Shifts everything that was stored so far into the future, as an old clock that was ahead would have.
    ahead = {row.config["configurable"]["checkpoint_id"] async for row in store.saver.alist(CONFIG)}
    path = store.path
    await store.close()
    rows = sqlite3.connect(path)
    for identifier in ahead:
        for table in ("checkpoints", "writes", "checkpoint_order"):
            rows.execute(f"UPDATE {table} SET checkpoint_id = 'f' || ? WHERE checkpoint_id = ?", [identifier] * 2)
        rows.execute(
            "UPDATE checkpoints SET parent_checkpoint_id = 'f' || ? WHERE parent_checkpoint_id = ?", [identifier] * 2
        )
    rows.commit()
    rows.close()
    again = await Store.open(path)
    done: list[str] = []
    with pytest.raises(RuntimeError, match="power cut"):
        await build(again.saver, failing="review", done=done).ainvoke(None, CONFIG, durability="sync")
    assert done == ["code", "review"]
    done.clear()
    result = await build(again.saver, done=done).ainvoke(None, CONFIG, durability="sync")
    assert done == ["review", "finish"]
    assert result["done"] == list(NODES)
    await again.close()


async def test_a_tasks_writes_share_the_commit_of_the_checkpoint_that_follows(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LINGER", 60.0)  # however long the checkpoint takes to come
    commits, items = store.counters.commits, store.counters.items
    await build(store.saver).ainvoke({"done": []}, CONFIG, durability="sync")
    # 6 checkpoints, 5 batches of writes.
    assert store.counters.items - items == 11
    assert store.counters.commits - commits <= 8


async def test_writes_without_a_checkpoint_are_committed_after_a_moment(store: Store) -> None:
    placed = await store.saver.aput(CONFIG, checkpoint("1"), {}, {})
    await asyncio.wait_for(store.saver.aput_writes(placed, [("done", ["a"])], "task"), 30)
    stored = await store.saver.aget_tuple(CONFIG)
    assert stored is not None
    assert stored.pending_writes == [("task", "done", ["a"])]


async def test_a_history_that_pauses_holds_up_no_write(store: Store) -> None:
    await build(store.saver).ainvoke({"done": []}, CONFIG, durability="sync")
    history = store.saver.alist(CONFIG)
    first = await anext(history)
    await asyncio.wait_for(store.saver.aput(CONFIG, checkpoint("later"), {"step": 99}, {}), 30)
    assert first.metadata["step"] == 4
    assert [each.metadata["step"] async for each in history] == [3, 2, 1, 0, -1]


async def test_long_histories_are_listed_whole_and_once(store: Store) -> None:
    for number in range(120):
        await store.saver.aput(CONFIG, checkpoint(f"{number:04}"), {"step": number}, {})
    listed = [each.metadata["step"] async for each in store.saver.alist(CONFIG)]
    assert listed == list(range(119, -1, -1))
    assert [each.metadata["step"] async for each in store.saver.alist(CONFIG, limit=60)] == listed[:60]


async def test_the_step_of_a_failed_task_is_discarded_and_that_of_an_interrupted_one_is_kept(store: Store) -> None:
    placed = await store.saver.aput(CONFIG, checkpoint("1"), {}, {})
    store.step("run", "failed").event(NewEvent("Lost"))
    await store.saver.aput_writes(placed, [("__error__", RuntimeError("no"))], "failed")
    store.step("run", "asking").event(NewEvent("QuestionAsked"))
    await store.saver.aput_writes(placed, [("__interrupt__", "which?")], "asking")
    store.step("run", "resuming").event(NewEvent("Later"))
    await store.saver.aput_writes(placed, [("__resume__", "that")], "resuming")
    assert [event.type for event in await store.events("run")] == ["RunAccepted", "QuestionAsked"]
    await store.saver.aput_writes(placed, [("done", ["x"])], "resuming")
    assert [event.type for event in await store.events("run")] == ["RunAccepted", "QuestionAsked", "Later"]


async def test_a_run_waits_for_an_answer_over_a_restart(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db")
    waiting = await build(store.saver, pausing="code").ainvoke({"done": []}, CONFIG, durability="sync")
    assert waiting["__interrupt__"][0].value == "go on?"
    await store.close()
    store = await Store.open(tmp_path / "m.db")
    result = await build(store.saver, pausing="code").ainvoke(Command(resume="!"), CONFIG, durability="sync")
    assert result["done"] == ["research", "code!", "review", "finish"]
    await store.close()


async def test_a_checkpoint_does_not_go_past_a_step_that_was_refused(store: Store) -> None:
    config: Any = {"configurable": {"thread_id": "nobody", "checkpoint_ns": ""}}
    placed = await store.saver.aput(config, checkpoint("1"), {}, {})
    store.step("nobody", "task").event(NewEvent("Step"))
    writing = asyncio.create_task(store.saver.aput_writes(placed, [("done", ["x"])], "task"))
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match="the step before was not stored: there is no run nobody"):
        await store.saver.aput(placed, checkpoint("2"), {}, {})
    with pytest.raises(RunNotFound):
        await writing
    latest = await store.saver.aget_tuple(config)
    assert latest is not None
    assert latest.checkpoint["id"] == "1"
    assert latest.pending_writes == []


class Stranger:
    def __init__(self, name: str) -> None:
        self.name = name

    def model_dump(self) -> dict[str, str]:
        return {"name": self.name}


async def test_no_stranger_is_rebuilt_from_the_file(store: Store) -> None:
    odd = {**checkpoint("1"), "channel_values": {"stranger": Stranger("x")}}
    await store.saver.aput(CONFIG, odd, {}, {})  # type: ignore[arg-type]
    loaded = await store.saver.aget_tuple(CONFIG)
    assert loaded is not None
    assert not isinstance(loaded.checkpoint["channel_values"]["stranger"], Stranger)
    with pytest.raises(NotImplementedError, match="pickle"):
        store.saver.serde.loads_typed(("pickle", b""))
    with pytest.raises(TypeError):
        await store.saver.aput(CONFIG, {**checkpoint("2"), "channel_values": {"odd": object()}}, {}, {})  # type: ignore[arg-type]


async def test_metadata_filters_are_data(store: Store) -> None:
    await store.saver.aput(CONFIG, checkpoint("1"), {"source": "loop", "score": {"a": 1}, "kind": True}, {})  # type: ignore[typeddict-unknown-key]
    for wanted, count in (
        ({"source": "loop"}, 1),
        ({"score": {"a": 1}}, 1),
        ({"kind": True}, 1),
        ({"absent": None}, 1),
        ({"x') OR 1=1 --": "y"}, 0),
        ({'source"': "nothing"}, 0),
    ):
        assert len([each async for each in store.saver.alist(CONFIG, filter=wanted)]) == count, wanted


async def test_blocking_methods_work_from_other_threads_and_refuse_to_block_the_loop(store: Store) -> None:
    await asyncio.to_thread(store.saver.put, CONFIG, checkpoint("1"), {"step": 1}, {})
    found = await asyncio.to_thread(store.saver.get_tuple, CONFIG)
    assert found is not None
    listed = await asyncio.to_thread(lambda: list(store.saver.list(CONFIG)))
    assert [each.metadata for each in listed] == [{"step": 1}]
    with pytest.raises(asyncio.InvalidStateError, match="blocking call"):
        store.saver.get_tuple(CONFIG)


async def test_threads_with_delta_channels_are_not_thinned_out(store: Store) -> None:
    for number in range(3):
        metadata: Any = {"step": number, "counters_since_delta_snapshot": {"done": [number, number]}}
        await store.saver.aput(CONFIG, checkpoint(str(number)), metadata, {})
    await store.saver.aprune(["run"])
    assert len([each async for each in store.saver.alist(CONFIG)]) == 3
    await store.saver.aprune(["run"], strategy="delete")
    assert [each async for each in store.saver.alist(CONFIG)] == []
    with pytest.raises(ValueError, match="allowed: keep_latest, delete"):
        await store.saver.aprune(["run"], strategy="some")
