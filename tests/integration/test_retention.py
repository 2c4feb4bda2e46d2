"""A file that a real agent keeps small: what stock LangGraph finds in it, and what is said of removed runs."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import grpc
import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from milepost.agent.v1 import agent_pb2
from milepost_agent.state import RunState
from milepost_agent.store import Store
from processes import PATIENCE, AgentClient, agent_process, running, scripted_process

SPEC: dict[str, Any] = {
    "pattern": "linear",
    "steps": [
        {"name": "research", "role": "researcher", "capability": "rag"},
        {"name": "code", "role": "coder", "capability": "coding", "requireApproval": True},
    ],
    "arbitrator": {"modelRef": {"name": "worker"}},
}
KEY = "6a9b1f6e-2a51-4d3f-9a55-0000000000dd"


def config(run_id: str) -> Any:
    return {"configurable": {"thread_id": run_id, "checkpoint_ns": ""}}


def blocking_history(path: Path, run_id: str) -> list[Any]:
    with SqliteSaver.from_conn_string(str(path)) as saver:
        latest = saver.get_tuple(config(run_id))
        listed = list(saver.list(config(run_id)))
    assert [latest] == listed[:1] or (latest is None and listed == [])
    return listed


async def asynchronous_history(path: Path, run_id: str) -> list[Any]:
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        return [each async for each in saver.alist(config(run_id))]


def stock_history(path: Path, run_id: str) -> list[Any]:
    """What both stock savers find of a thread, newest first."""
    listed = blocking_history(path, run_id)
    assert asyncio.run(asynchronous_history(path, run_id)) == listed
    return listed


def stock_graph(saver: Any) -> Any:
    """A graph of the same nodes that asks and answers by itself, compiled by stock LangGraph."""

    def code(state: RunState) -> dict[str, Any]:
        answer = interrupt("approve?")
        output = {**state["outputs"][-1], "step": "code", "text": f"by the stock graph, {answer['comment']}"}
        return {"outputs": [*state["outputs"], output]}

    builder = StateGraph(RunState)
    for name in ("recommend", "arbitrate", "research", "finish"):
        builder.add_node(name, lambda state: {})
    builder.add_node("code", code)
    builder.add_edge(START, "recommend")
    builder.add_edge("code", "finish")
    builder.add_edge("finish", END)
    return builder.compile(checkpointer=saver)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def status_of(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def approve(client: AgentClient, run_id: str) -> None:
    approval = client.wait_event(run_id, "ApprovalRequested").data["approval_id"]
    request = agent_pb2.DecideApprovalRequest(
        run_id=run_id, approval_id=approval, decision=agent_pb2.APPROVAL_DECISION_APPROVE
    )
    client.agent.DecideApproval(request, timeout=PATIENCE)


def texts(found: Any) -> list[str]:
    return [output["text"] for output in found.checkpoint["channel_values"]["outputs"]]


@pytest.mark.requirement("DUR-8", "DUR-9")
def test_the_stock_savers_read_each_thread_of_a_real_agent_and_go_on_with_it(tmp_path: Path) -> None:
    agent = agent_process(tmp_path, SPEC)
    worker = scripted_process(tmp_path, "worker", "rag,coding", agent.target)
    path = tmp_path / "milepost.db"
    with running(agent, worker):
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        ended = client.start_run("to the end", KEY).run_id
        approve(client, ended)
        client.wait_ended(ended)
        waiting = client.start_run("wait for me").run_id
        client.wait_event(waiting, "ApprovalRequested")
        going = client.start_run("hold=researcher/1/600").run_id
        client.wait_event(going, "StepStarted")
        until(lambda: client.get(waiting).state == agent_pb2.RUN_STATE_WAITING)
        # While the agent has the file: one checkpoint each, all that LangGraph needs.
        assert texts(*stock_history(path, ended)) == ["researcher: to the end", "coder: to the end"]
        (asks,) = stock_history(path, waiting)
        assert texts(asks) == ["researcher: wait for me"]
        assert [channel for _, channel, _ in asks.pending_writes] == ["__interrupt__"]
        assert texts(*stock_history(path, going)) == []
        agent.kill()

        with SqliteSaver.from_conn_string(str(path)) as saver:
            state = stock_graph(saver).get_state(config(waiting))
            assert state.next == ("code",)
            assert len(state.tasks[0].interrupts) == 1
            stock_graph(saver).invoke(Command(resume={"comment": "yes"}), config(waiting))
        asyncio.run(assert_ours_reads(path, waiting))
        assert len(stock_history(path, waiting)) == 3

        agent.start()
        agent.wait_serving()
        client.wait_event(going, "RunResumed")
        # What the stock saver added is thinned out again.
        until(lambda: len(blocking_history(path, waiting)) == 1)
        assert len(stock_history(path, waiting)) == 1
        assert texts(*stock_history(path, waiting))[-1] == "by the stock graph, yes"
        client.close()


async def assert_ours_reads(path: Path, run_id: str) -> None:
    store = await Store.open(path)
    try:
        found = await store.saver.aget_tuple(config(run_id))
        assert texts(found) == ["researcher: wait for me", "by the stock graph, yes"]
        assert len([each async for each in store.saver.alist(config(run_id))]) == 3
    finally:
        await store.close()


@pytest.mark.requirement("DUR-8", "DUR-9")
def test_a_removed_run_is_not_found_and_its_id_is_free_again(tmp_path: Path) -> None:
    agent = agent_process(tmp_path, SPEC)
    worker = scripted_process(tmp_path, "worker", "rag,coding", agent.target)
    path = tmp_path / "milepost.db"
    with running(agent, worker):
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        first = client.start_run("to the end", KEY).run_id
        approve(client, first)
        last = client.wait_ended(first).last_sequence
        second = client.start_run("wait for me").run_id
        client.wait_event(second, "ApprovalRequested")
        assert agent.stop() == 0
        with apsw.Connection(str(path)) as connection:
            connection.execute("UPDATE runs SET end_time = 1 WHERE run_id = ?", (first,))
        connection.close()

        agent.start()
        agent.wait_serving()
        kept = f"there is no run '{first}'; ended runs are kept for 720h, at most 1000 of them"
        until(lambda: first not in {run.run_id for run in list_runs(client)})
        assert status_of(lambda: client.get(first)) == (grpc.StatusCode.NOT_FOUND, kept)
        assert status_of(lambda: list(client.events(first, after=1))) == (grpc.StatusCode.NOT_FOUND, kept)
        until(lambda: blocking_history(path, first) == [])
        assert stock_history(path, first) == []
        assert len(stock_history(path, second)) == 1
        again = client.start_run("to the end", KEY)
        assert again.run_id != first
        assert next(client.events(again.run_id)).sequence > last
        approve(client, second)
        assert client.wait_ended(second).outcome == agent_pb2.RUN_OUTCOME_COMPLETED
        client.close()


def list_runs(client: AgentClient) -> list[agent_pb2.Run]:
    return list(client.agent.ListRuns(agent_pb2.ListRunsRequest(), timeout=PATIENCE).runs)
