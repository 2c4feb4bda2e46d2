"""The driver does what LangGraph does: the same history, and either goes on where the other one stopped."""

import asyncio
import hashlib
import inspect
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.errors import GraphDrained, GraphRecursionError
from langgraph.graph import END, START, StateGraph
from langgraph.pregel import Pregel
from langgraph.pregel._loop import AsyncPregelLoop, PregelLoop
from langgraph.pregel._retry import arun_with_retry
from langgraph.pregel._runner import PregelRunner
from langgraph.runtime import RunControl, Runtime
from langgraph.types import Command, Interrupt, RetryPolicy, interrupt

from milepost_agent.driver import Driver
from milepost_agent.store import NewEvent, Store, StoreError, database
from milepost_agent.store.database import Transaction
from store_rows import rows
from store_zygote import new_run

DIGEST = "7159e6d3424b7e371b9c47d0b269e9db19d67d1ac37bc91f8f97b86bf0df7517"
CONFIG: Any = {"configurable": {"thread_id": "run"}, "recursion_limit": 20}


def extend(left: list[str], right: list[str]) -> list[str]:
    return left + right


class State(TypedDict):
    prompt: str
    done: Annotated[list[str], extend]
    answer: str


def graph(saver: Any, fail: list[str] | None = None) -> Any:
    """write -> ask (interrupts) -> write again while there are less than three entries -> end."""

    async def write(state: State, runtime: Runtime[str]) -> dict[str, Any]:
        assert runtime.execution_info is not None and runtime.execution_info.task_id
        if fail:
            raise RuntimeError(fail.pop())
        return {"done": [f"{runtime.context}:{len(state['done'])}"]}

    async def ask(state: State) -> dict[str, Any]:
        return {"answer": interrupt({"question": state["prompt"]})}

    def more(state: State) -> str:
        return "write" if len(state["done"]) < 3 else END

    builder = StateGraph(State, context_schema=str)
    builder.add_node("write", write)
    builder.add_node("ask", ask)
    builder.add_edge(START, "write")
    builder.add_conditional_edges("write", lambda state: "ask" if "answer" not in state else more(state))
    builder.add_conditional_edges("ask", more, ["write", END])
    return builder.compile(checkpointer=saver)


def first() -> dict[str, Any]:
    return {"prompt": "sure?", "done": []}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "m.db")
    yield store
    await store.close()


@pytest.fixture
async def latest(tmp_path: Path) -> AsyncIterator[Store]:
    """A store that keeps only the latest checkpoint, as the agent's does."""
    store = await Store.open(tmp_path / "latest.db", history=False)
    yield store
    await store.close()


@pytest.fixture(params=[True, False], ids=["history", "latest"])
async def either(request: pytest.FixtureRequest, store: Store, latest: Store) -> Store:
    return store if request.param else latest


async def history(saver: Any) -> list[Any]:
    """What each checkpoint of the run holds, without what is random in it: ids, times and versions' tails."""
    found = []
    async for each in saver.alist(CONFIG):
        held = each.checkpoint
        found.append(
            (
                held["channel_values"],
                {channel: number(version) for channel, version in held["channel_versions"].items()},
                {
                    node: {channel: number(version) for channel, version in seen.items()}
                    for node, seen in held["versions_seen"].items()
                },
                held["updated_channels"],
                each.metadata,
                [(channel, plain(value)) for _, channel, value in each.pending_writes or []],
                each.parent_config is None,
            )
        )
    return found


def number(version: Any) -> int:
    return int(str(version).split(".", 1)[0])


def plain(value: Any) -> Any:
    """A value of a write; what is random in an interrupt, its id, is left out."""
    interrupts = isinstance(value, (list, tuple)) and value and isinstance(value[0], Interrupt)
    return [each.value for each in value] if interrupts else value


@pytest.mark.requirement("DUR-9")
@pytest.mark.parametrize("fresh", [False, True])
async def test_the_driver_leaves_the_history_that_langgraph_leaves_on_its_own_saver(
    store: Store, tmp_path: Path, fresh: bool
) -> None:
    driver = Driver(graph(store.saver))
    await driver.drive(first(), CONFIG, context="c", fresh=fresh)
    result = await driver.drive(Command(resume="yes"), CONFIG, context="c")
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "stock.db")) as saver:
        stock = graph(saver)
        await stock.ainvoke(first(), CONFIG, context="c", durability="sync")
        assert await stock.ainvoke(Command(resume="yes"), CONFIG, context="c", durability="sync") == result
        assert result == {"prompt": "sure?", "done": ["c:0", "c:1", "c:2"], "answer": "yes"}
        assert await history(store.saver) == await history(saver)


@pytest.mark.requirement("DUR-9")
@pytest.mark.parametrize("begins", ["driver", "langgraph"])
async def test_a_run_that_waits_is_resumed_by_the_driver_and_by_langgraph(either: Store, begins: str) -> None:
    driver = Driver(graph(either.saver))
    if begins == "driver":
        await driver.drive(first(), CONFIG, context="c")
        state = await driver.graph.aget_state(CONFIG)
        assert [each.value for each in state.interrupts] == [{"question": "sure?"}]
        result = await driver.graph.ainvoke(Command(resume="yes"), CONFIG, context="c", durability="sync")
    else:
        await driver.graph.ainvoke(first(), CONFIG, context="c", durability="sync")
        result = await driver.drive(Command(resume="yes"), CONFIG, context="c")
    assert result["done"] == ["c:0", "c:1", "c:2"]


async def test_a_task_that_fails_is_noted_and_done_again(either: Store) -> None:
    driver = Driver(graph(either.saver, fail=["broken"]))
    with pytest.raises(RuntimeError, match="broken"):
        await driver.drive(first(), CONFIG, context="c")
    stored = await either.saver.aget_tuple(CONFIG)
    assert stored is not None
    assert [channel for _, channel, _ in stored.pending_writes or []] == ["__error__"]
    assert (await driver.drive(None, CONFIG, context="c"))["done"] == ["c:0"]


async def test_a_run_that_is_asked_to_stop_stops_between_two_steps_and_goes_on(either: Store) -> None:
    driver = Driver(graph(either.saver))
    control = RunControl()
    control.request_drain("the node is drained")
    with pytest.raises(GraphDrained, match="the node is drained"):
        await driver.drive(first(), CONFIG, context="c", control=control)
    assert (await driver.drive(None, CONFIG, context="c"))["done"] == ["c:0"]


async def test_the_bound_of_supersteps_holds(store: Store) -> None:
    with pytest.raises(GraphRecursionError):
        await Driver(graph(store.saver)).drive(first(), {**CONFIG, "recursion_limit": 1}, context="c")


@pytest.mark.requirement("DUR-7")
async def test_a_step_that_cannot_be_stored_ends_the_run_with_no_checkpoint_of_it(either: Store) -> None:
    async def work(state: State, runtime: Runtime[str]) -> dict[str, Any]:
        assert runtime.execution_info is not None
        either.step("run", runtime.execution_info.task_id).event(NewEvent("Bad", hop_index=2**70))
        return {"done": ["done"]}

    await either.accept_run(new_run())
    builder = StateGraph(State)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    driver = Driver(builder.compile(checkpointer=either.saver))
    with pytest.raises(StoreError, match="the step before was not stored"):
        await driver.drive(first(), CONFIG)
    stored = await either.saver.aget_tuple(CONFIG)
    assert stored is not None
    assert stored.checkpoint["channel_values"]["done"] == []


@pytest.mark.requirement("DUR-9")
async def test_the_driver_leaves_the_latest_checkpoint_that_langgraph_leaves(latest: Store, tmp_path: Path) -> None:
    driver = Driver(graph(latest.saver))
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "stock.db")) as saver:
        stock = graph(saver)
        for given in (first(), Command(resume="yes"), first(), Command(resume="no")):
            result = await driver.drive(given, CONFIG, context="c")
            expected = await stock.ainvoke(given, CONFIG, context="c", durability="sync")
            assert result == {key: value for key, value in expected.items() if key != "__interrupt__"}
            assert await history(latest.saver) == (await history(saver))[:1]


async def test_what_the_next_checkpoint_would_delete_is_not_written(latest: Store) -> None:
    def note(transaction: Transaction) -> None:
        transaction.execute("CREATE TABLE written (what TEXT)")
        for table, what in (("writes", "NEW.channel"), ("checkpoints", "'checkpoint'")):
            insert = f"INSERT INTO written VALUES ({what})"
            transaction.execute(f"CREATE TRIGGER note_{table} AFTER INSERT ON {table} BEGIN {insert}; END")

    async def written() -> list[str]:
        query = "SELECT what FROM written ORDER BY rowid"
        return await latest._readers.read(lambda db: [row[0] for row in db.execute(query)])

    await latest._database.submit(note)
    driver = Driver(graph(latest.saver))
    await driver.drive(first(), CONFIG, context="c", fresh=True)
    # The steps of the input and of `write`, and what `ask` waits for.
    assert await written() == ["checkpoint", "checkpoint", "__interrupt__"]
    assert await rows(latest, "run") == {"checkpoints": 1, "writes": 1, "checkpoint_order": 1}
    await driver.drive(Command(resume="yes"), CONFIG, context="c")
    # The answer, which is stored before it is used, and three steps.
    assert (await written())[3:] == ["__resume__", "checkpoint", "checkpoint", "checkpoint"]
    assert await rows(latest, "run") == {"checkpoints": 1, "checkpoint_order": 1}


async def test_what_a_store_with_history_left_goes_with_the_first_step(tmp_path: Path) -> None:
    for history, given in ((True, first()), (False, Command(resume="yes"))):
        store = await Store.open(tmp_path / "m.db", history=history)
        await Driver(graph(store.saver)).drive(given, CONFIG, context="c")
        found = await rows(store, "run")
        await store.close()
        assert (found["checkpoints"] > 1) == history
    assert found == {"checkpoints": 1, "checkpoint_order": 1}


async def test_a_result_that_cannot_be_applied_is_kept_as_langgraph_keeps_it(either: Store) -> None:
    """The task is done, its result stays beside the checkpoint before it: it is not done again."""
    calls = 0

    async def work(state: State) -> Any:
        nonlocal calls
        calls += 1
        return {"done": 7}

    builder = StateGraph(State)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    driver = Driver(builder.compile(checkpointer=either.saver))
    for given in (first(), None):
        with pytest.raises(TypeError, match="can only concatenate list"):
            await driver.drive(given, CONFIG)
    assert calls == 1
    stored = await either.saver.aget_tuple(CONFIG)
    assert stored is not None
    assert [each[1:] for each in stored.pending_writes or []] == [("done", 7)]


async def test_an_input_whose_first_edge_fails_is_kept_with_the_error(either: Store) -> None:
    def choose(state: State) -> str:
        raise RuntimeError("no edge")

    builder = StateGraph(State)
    builder.add_node("work", lambda state: {})
    builder.add_conditional_edges(START, choose, ["work"])
    with pytest.raises(RuntimeError, match="no edge"):
        await Driver(builder.compile(checkpointer=either.saver)).drive(first(), CONFIG)
    stored = await either.saver.aget_tuple(CONFIG)
    assert stored is not None
    assert stored.metadata["source"] == "input"
    assert stored.checkpoint["channel_values"]["__start__"] == first()
    assert "__error__" in [channel for _, channel, _ in stored.pending_writes or []]


async def test_a_graph_that_asks_for_more_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="not checkpointed by the store"):
        Driver(graph(None))
    builder = StateGraph(State)
    builder.add_node("work", lambda state: state, retry_policy=RetryPolicy())
    builder.add_edge(START, "work")
    with pytest.raises(ValueError, match="node work has a policy"):
        Driver(builder.compile(checkpointer=store.saver))


@pytest.mark.requirement("DUR-1")
async def test_a_step_costs_one_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LINGER", 60.0)  # however long the checkpoint takes to come
    driver = Driver(graph(store.saver))
    await driver.drive(first(), CONFIG, context="c")
    before = store.counters.commits
    await driver.drive(Command(resume="yes"), CONFIG, context="c")
    # The answer and three nodes: their writes share the commit of the checkpoint that follows them.
    assert store.counters.commits - before <= 4


@pytest.mark.requirement("SPD-2")
async def test_a_hundred_runs_at_once_share_their_commits(store: Store) -> None:
    driver = Driver(graph(store.saver))
    before = store.counters.commits
    configs = [{**CONFIG, "configurable": {"thread_id": f"run-{number}"}} for number in range(100)]
    await asyncio.gather(*(driver.drive(first(), config, context="c") for config in configs))
    # Each run takes two steps that are stored one after the other, and an interrupt.
    assert store.counters.commits - before <= 100


def test_what_the_driver_stands_in_for_is_what_it_was_written_against() -> None:
    """Fails when LangGraph is another: read what changed, adapt the driver, then take the new digest."""
    parts = (Pregel.astream, AsyncPregelLoop, PregelLoop, PregelRunner.atick, PregelRunner.commit, arun_with_retry)
    digest = hashlib.sha256("".join(inspect.getsource(part) for part in parts).encode()).hexdigest()
    assert version("langgraph") == "1.2.22"
    assert digest == DIGEST
