"""Callers and services that are killed, as real processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc.aio
import pytest
from call_memory_server import OWNER, Client, words
from grpc_health.v1 import health_pb2, health_pb2_grpc

from milepost_service.channels import open_channel
from milepost_service.testing import free_port

ECHO = Path(__file__).with_name("echo_service.py")
CALLER = f"""
import grpc, sys
from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost_service.metadata import call_metadata
target, prompt, linger = sys.argv[1:]
stub = capability_pb2_grpc.CapabilityServiceStub(grpc.insecure_channel(target))
metadata = call_metadata(call_id="t/0", owner="{OWNER}", epoch=1, linger=float(linger))
for response in stub.Invoke(capability_pb2.InvokeRequest(prompt=prompt), timeout=60, metadata=metadata):
    print(response.delta, flush=True)
"""
Spawn = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "echo.log"


@pytest.fixture
def spawn(port: int, log: Path) -> Iterator[Spawn]:
    """Starts the echo service at the port."""
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        env = os.environ | {"MILEPOST_LISTEN": f"127.0.0.1:{port}", "MILEPOST_SERVICE_FILE": "x"}
        with log.open("ab") as output:
            process = subprocess.Popen([sys.executable, str(ECHO)], env=env, stdout=output, stderr=output)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
async def channel(port: int) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(f"127.0.0.1:{port}") as opened:
        yield opened


async def until_serving(channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    async for update in stub.Watch(health_pb2.HealthCheckRequest(), timeout=30, wait_for_ready=True):
        if update.status == health_pb2.HealthCheckResponse.SERVING:
            return


async def until_logged(log: Path, text: str) -> None:
    async with asyncio.timeout(30):
        while text not in log.read_text():
            await asyncio.sleep(0.01)


def killed_after_its_first_delta(port: int, prompt: str, linger: float) -> None:
    """A caller as a process of its own that gets SIGKILL in the middle of the answer."""
    command = [sys.executable, "-c", CALLER, f"127.0.0.1:{port}", prompt, str(linger)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "one\n"
        caller.kill()
        assert caller.wait(30) == -signal.SIGKILL


@pytest.mark.requirement("DUR-7", "DUR-3")
async def test_a_caller_that_was_killed_comes_back_and_joins_its_work(
    spawn: Spawn, port: int, channel: grpc.aio.Channel, log: Path
) -> None:
    spawn()
    await until_serving(channel)
    await asyncio.to_thread(killed_after_its_first_delta, port, "one wait wait two", 60)
    await until_logged(log, "Invoke CANCELLED")
    back = Client(channel, OWNER, 2)
    assert await words(back.invoke("t/0", "one wait wait two")) == ["one", "wait", "wait", "two"]
    assert await back.counts() == {"t/0": (2, 1, 1)}


@pytest.mark.requirement("AGT-3")
async def test_without_linger_the_work_of_a_killed_caller_ends_with_it(
    spawn: Spawn, port: int, channel: grpc.aio.Channel, log: Path
) -> None:
    spawn()
    await until_serving(channel)
    await asyncio.to_thread(killed_after_its_first_delta, port, "one hang", 0)
    await until_logged(log, "Invoke CANCELLED")
    back = Client(channel, OWNER, 2)
    assert (await back.invoke("t/0", "one hang").read()).delta == "one"
    assert await back.counts() == {"t/0": (2, 2, 0)}


@pytest.mark.requirement("DUR-7")
async def test_a_service_that_was_killed_in_the_middle_works_anew_its_memory_is_gone(
    spawn: Spawn, channel: grpc.aio.Channel
) -> None:
    service = spawn()
    await until_serving(channel)
    client = Client(channel, OWNER, 1)
    assert await words(client.invoke("t/0", "a")) == ["a"]
    call = client.invoke("t/1", "one wait two", linger=60)
    assert (await call.read()).delta == "one"
    service.kill()
    with pytest.raises(grpc.aio.AioRpcError):
        await words(call)
    service.wait()
    spawn()
    await until_serving(channel)
    assert await words(client.invoke("t/1", "one wait two", linger=60)) == ["one", "wait", "two"]
    assert await client.counts() == {"t/1": (1, 1, 1)}


async def test_stopping_does_not_wait_for_work_whose_caller_is_gone(
    spawn: Spawn, channel: grpc.aio.Channel, log: Path
) -> None:
    service = spawn()
    await until_serving(channel)
    call = Client(channel, OWNER, 1).invoke("t/0", "one" + " hang" * 6, linger=600)
    assert (await call.read()).delta == "one"
    call.cancel()
    await until_logged(log, "Invoke CANCELLED")
    service.terminate()
    assert await asyncio.to_thread(service.wait, 30) == 0
    assert "Traceback" not in log.read_text()
    assert "destroyed" not in log.read_text()
