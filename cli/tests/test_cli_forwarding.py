"""Local sockets that lead to pods: connections of their own, reconnection, back-pressure, and a clean end."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cli_fake_agent import RUN_ID, FakeAgent, review_loop_events
from cli_fake_cluster import FakeDialer

from milepost.agent.v1 import agent_pb2, agent_pb2_grpc
from milepost_cli.cluster.errors import DialError
from milepost_cli.cluster.forwarding import Forwarder, Stream

MEGABYTE = 2**20


class Echo:
    """A pod that sends back what it gets, through a queue that holds little."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(4)
        self.taken = 0
        self.closed = threading.Event()

    async def receive(self) -> bytes:
        return await self._queue.get()

    async def send(self, content: bytes) -> None:
        await self._queue.put(content)
        self.taken += len(content)

    async def close(self) -> None:
        self.closed.set()


class EchoDialer:
    def __init__(self) -> None:
        self.opened: list[Echo] = []

    async def dial(self, pod: str, port: int) -> Stream:
        self.opened.append(Echo())
        return self.opened[-1]


@pytest.fixture
def echo() -> EchoDialer:
    return EchoDialer()


@pytest.fixture
def forwarder(echo: EchoDialer) -> Iterator[Forwarder]:
    with Forwarder(echo) as forwarder:
        yield forwarder


def connected(target: str) -> socket.socket:
    plug = socket.socket(socket.AF_UNIX)
    plug.settimeout(30)
    plug.connect(target.removeprefix("unix:"))
    return plug


def test_every_connection_is_one_of_its_own_to_the_pod(forwarder: Forwarder, echo: EchoDialer) -> None:
    target = forwarder.target("flow-0", 50051)
    assert forwarder.target("flow-0", 50051) == target != forwarder.target("flow-1", 50051)
    with connected(target) as first, connected(target) as second:
        for plug, words in ((first, b"one"), (second, b"two")):
            plug.sendall(words)
            assert plug.recv(100) == words
        first.close()
        assert echo.opened[0].closed.wait(10)
        second.sendall(b"still there")
        assert second.recv(100) == b"still there"


@pytest.mark.requirement("CLI-1")
def test_a_reader_that_is_slow_slows_the_writer_and_loses_nothing(forwarder: Forwarder, echo: EchoDialer) -> None:
    with connected(forwarder.target("flow-0", 50051)) as plug:
        sent = os.urandom(MEGABYTE) * 8
        writing = threading.Thread(target=plug.sendall, args=(sent,))
        writing.start()
        before = -1
        while not echo.opened or before != echo.opened[0].taken:
            before = echo.opened[0].taken if echo.opened else -1
            time.sleep(0.2)
        assert before < 4 * MEGABYTE
        got = bytearray()
        while len(got) < len(sent):
            got += plug.recv(65536)
        writing.join()
    assert got == sent


def test_only_the_user_of_the_command_may_connect(forwarder: Forwarder) -> None:
    folder = Path(forwarder.target("flow-0", 50051).removeprefix("unix:")).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.requirement("CLI-1")
def test_a_long_name_of_the_temporary_folder_is_no_hindrance(
    echo: EchoDialer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with Forwarder(echo) as forwarder, connected(forwarder.target("flow-0", 50051)) as plug:
        plug.sendall(b"there")
        assert plug.recv(100) == b"there"


def test_nothing_is_left_at_the_end(echo: EchoDialer) -> None:
    forwarder = Forwarder(echo)
    target = forwarder.target("flow-0", 50051)
    open_before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    with connected(target) as plug:
        plug.sendall(b"x")
        assert plug.recv(1) == b"x"
        forwarder.close()
        forwarder.close()
        assert plug.recv(1) == b""
    assert echo.opened[0].closed.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "port-forwarding"]
    assert not Path(target.removeprefix("unix:")).parent.exists()
    if open_before:
        assert len(list(Path("/proc/self/fd").iterdir())) < open_before


@pytest.mark.requirement("CLI-1")
def test_a_channel_finds_its_pod_again_when_it_was_away() -> None:
    agent = FakeAgent(review_loop_events())
    dialer = FakeDialer({})
    options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
    with (
        Forwarder(dialer) as forwarder,
        grpc.insecure_channel(forwarder.target("flow-0", 50051), options=options) as channel,
    ):
        stub = agent_pb2_grpc.AgentServiceStub(channel)
        request = agent_pb2.GetRunRequest(run_id=RUN_ID)
        with pytest.raises(grpc.RpcError):
            stub.GetRun(request, timeout=60)
        assert str(forwarder.failure("flow-0")) == "pods flow-0 not found"
        for _ in range(2):
            agent.start()
            dialer.agents = {"flow-0": agent}
            assert stub.GetRun(request, timeout=30, wait_for_ready=True).run.run_id == RUN_ID
            assert forwarder.failure("flow-0") is None
            agent.stop()


@pytest.mark.requirement("CLI-1")
def test_a_megabyte_goes_through_in_many_calls_at_once() -> None:
    agent = FakeAgent(review_loop_events())
    agent.start()
    try:
        with (
            Forwarder(FakeDialer({"flow-0": agent})) as forwarder,
            grpc.insecure_channel(forwarder.target("flow-0", 50051)) as channel,
        ):
            stub = agent_pb2_grpc.AgentServiceStub(channel)
            request = agent_pb2.StartRunRequest(prompt="a" * MEGABYTE)
            calls = [stub.StartRun.future(request, timeout=60) for _ in range(8)]
            assert {call.result().run.run_id for call in calls} == {RUN_ID}
        assert [len(request.prompt) for request in agent.requests] == [MEGABYTE] * 8
    finally:
        agent.stop()


def test_a_connection_that_breaks_off_ends_on_this_side_too(forwarder: Forwarder, echo: EchoDialer) -> None:
    async def broken(content: bytes) -> None:
        raise DialError("connection reset")

    with connected(forwarder.target("flow-0", 50051)) as plug:
        plug.sendall(b"x")
        assert plug.recv(1) == b"x"
        echo.opened[0].send = broken  # type: ignore[method-assign]
        plug.sendall(b"y")
        assert plug.recv(1) == b""
    assert str(forwarder.failure("flow-0")) == "connection reset"
