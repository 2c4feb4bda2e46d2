"""Without history a thread keeps the latest checkpoint of each namespace, which is all that a run needs to go on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import apsw
import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from milepost_agent.store import Store
from store_zygote import new_run

CONFIG: Any = {"configurable": {"thread_id": "run", "checkpoint_ns": ""}}


def extend(left: list[str], right: list[str]) -> list[str]:
    return left + right


class State(TypedDict):
    done: Annotated[list[str], extend]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "m.db", history=False)
    await store.accept_run(new_run())
    yield store
    await store.close()


def build(saver: Any, calls: list[str], *, failing: set[str]) -> Any:
    """first, then left and right at once, then last, which asks."""

    def node(name: str) -> Any:
        async def work(state: State) -> dict[str, list[str]]:
            calls.append(name)
            if name in failing:
                await asyncio.sleep(0.05)
                raise RuntimeError("power cut")
            answer = str(interrupt("go on?")) if name == "last" else ""
            return {"done": [name + answer]}

        return work

    graph = StateGraph(State)
    for name in ("first", "left", "right", "last"):
        graph.add_node(name, node(name))
    for begin, end in ((START, "first"), ("first", "left"), ("first", "right"), ("last", END)):
        graph.add_edge(begin, end)
    graph.add_edge(["left", "right"], "last")
    return graph.compile(checkpointer=saver)


async def counts(store: Store) -> tuple[int, int, int]:
    def query(connection: apsw.Connection) -> tuple[int, int, int]:
        tables = ("checkpoints", "checkpoint_order", "writes")
        first, second, third = (int(connection.execute(f"SELECT COUNT(*) FROM {table}").get) for table in tables)
        return first, second, third

    return await store._readers.read(query)


@pytest.mark.requirement("DUR-3", "DUR-8")
async def test_a_run_goes_on_from_its_only_checkpoint_after_a_failure_and_a_question(store: Store) -> None:
    calls: list[str] = []
    with pytest.raises(RuntimeError, match="power cut"):
        await build(store.saver, calls, failing={"right"}).ainvoke({"done": []}, CONFIG, durability="sync")
    checkpoints, order, writes = await counts(store)
    assert (checkpoints, order) == (1, 1)
    assert writes >= 2  # what left did, and the error of right
    waiting = await build(store.saver, calls, failing=set()).ainvoke(None, CONFIG, durability="sync")
    assert waiting["__interrupt__"][0].value == "go on?"
    assert (await counts(store))[:2] == (1, 1)
    path = store.path
    await store.close()
    again = await Store.open(path, history=False)
    result = await build(again.saver, calls, failing=set()).ainvoke(Command(resume="!"), CONFIG, durability="sync")
    assert sorted(result["done"]) == ["first", "last!", "left", "right"]
    assert sorted(calls) == ["first", "last", "last", "left", "right", "right"]
    assert await counts(again) == (1, 1, 0)
    await again.close()


@pytest.mark.requirement("DUR-8")
async def test_each_namespace_keeps_its_latest(store: Store) -> None:
    for namespace in ("", "inner"):
        for number in range(3):
            place: Any = {"configurable": {"thread_id": "run", "checkpoint_ns": namespace}}
            stored = await store.saver.aput(place, {**empty_checkpoint(), "id": f"{number}"}, {"step": number}, {})
            await store.saver.aput_writes(stored, [("done", [number])], "task")
    found = [each async for each in store.saver.alist({"configurable": {"thread_id": "run"}})]
    assert [each.metadata["step"] for each in found] == [2, 2]
    assert [each.pending_writes for each in found] == [[("task", "done", [2])]] * 2
    assert await counts(store) == (2, 2, 2)


@pytest.mark.requirement("DUR-8")
async def test_a_thread_whose_values_are_spread_over_its_past_keeps_it(store: Store) -> None:
    for number in range(3):
        metadata: Any = {"step": number, "counters_since_delta_snapshot": {"done": [number, number]}}
        await store.saver.aput(CONFIG, {**empty_checkpoint(), "id": f"{number}"}, metadata, {})
    assert (await counts(store))[0] == 3
