"""The life of a process, seen from outside: real processes, real ports, real signals."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.registry.v1 import registry_pb2, registry_pb2_grpc
from milepost_service.channels import open_channel
from milepost_service.errors import ConfigurationError
from milepost_service.metadata import call_metadata
from milepost_service.server import LIVENESS
from milepost_service.settings import ServiceSettings
from milepost_service.testing import free_port

ECHO = Path(__file__).with_name("echo_service.py")
Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    processes: list[subprocess.Popen[str]] = []

    def start(port: int, **environment: str) -> "subprocess.Popen[str]":
        env = os.environ | {"MILEPOST_LISTEN": f"127.0.0.1:{port}", "MILEPOST_SERVICE_FILE": "x"} | environment
        process = subprocess.Popen(
            [sys.executable, str(ECHO)], env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


@pytest.fixture
async def channel(port: int) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(f"127.0.0.1:{port}") as opened:
        yield opened


async def health_of(channel: grpc.aio.Channel, service: str = "") -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=service)
    return int((await stub.Check(request, timeout=20, wait_for_ready=True)).status)


async def until_health(channel: grpc.aio.Channel, expected: int) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    async for update in stub.Watch(health_pb2.HealthCheckRequest(), timeout=60, wait_for_ready=True):
        if update.status == expected:
            return


SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def until_serving(channel: grpc.aio.Channel) -> None:
    await until_health(channel, health_pb2.HealthCheckResponse.SERVING)


async def test_health_is_not_serving_and_calls_are_refused_until_start_has_returned(
    spawn: Spawn, port: int, channel: grpc.aio.Channel, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    spawn(port, ECHO_GATE=str(gate))
    assert await health_of(channel) == health_pb2.HealthCheckResponse.NOT_SERVING
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await capability_pb2_grpc.CapabilityServiceStub(channel).Describe(capability_pb2.DescribeRequest(), timeout=60)
    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.UNAVAILABLE, "echo is starting")
    await asyncio.to_thread(gate.write_text, "open")
    await until_serving(channel)
    assert (
        await health_of(channel, "milepost.capability.v1.CapabilityService") == health_pb2.HealthCheckResponse.SERVING
    )


@pytest.mark.requirement("AGT-4", "MOD-3")
async def test_liveness_is_serving_from_binding_to_the_end_and_readiness_only_in_between(
    spawn: Spawn, port: int, channel: grpc.aio.Channel, tmp_path: Path
) -> None:
    gates = {name: tmp_path / name for name in ("gate", "drain")}
    for gate in gates.values():
        os.mkfifo(gate)
    process = spawn(port, ECHO_GATE=str(gates["gate"]), ECHO_DRAIN=str(gates["drain"]))
    assert (await health_of(channel), await health_of(channel, LIVENESS)) == (NOT_SERVING, SERVING), "starting"
    await asyncio.to_thread(gates["gate"].write_text, "open")
    await until_serving(channel)
    assert await health_of(channel, LIVENESS) == SERVING
    process.send_signal(signal.SIGTERM)
    await until_health(channel, NOT_SERVING)
    assert (await health_of(channel), await health_of(channel, LIVENESS)) == (NOT_SERVING, SERVING), "draining"
    await asyncio.to_thread(gates["drain"].write_text, "done")
    assert await asyncio.to_thread(process.wait, 30) == 0


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    fifo = tmp_path / "orders"
    os.mkfifo(fifo)
    return fifo


async def test_readiness_is_what_the_attendant_says_and_comes_back(
    spawn: Spawn, port: int, channel: grpc.aio.Channel, orders: Path
) -> None:
    process = spawn(port, ECHO_ATTEND=str(orders))
    await until_serving(channel)
    for word, health in (("not", NOT_SERVING), ("ready", SERVING), ("not", NOT_SERVING)):
        await asyncio.to_thread(orders.write_text, f"{word}\n")
        await until_health(channel, health)
        assert await health_of(channel, LIVENESS) == SERVING
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 30) == 0


async def test_a_process_that_must_end_stops_in_order_with_one_line_and_exit_code_3(
    spawn: Spawn, port: int, channel: grpc.aio.Channel, orders: Path
) -> None:
    process = spawn(port, ECHO_ATTEND=str(orders))
    await until_serving(channel)
    await asyncio.to_thread(orders.write_text, "end\n")
    _, stderr = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 3
    assert stderr.endswith("echo: another process took over\n")
    assert "Traceback" not in stderr


async def test_a_failed_start_is_one_line_and_exit_code_2(spawn: Spawn, port: int) -> None:
    process = spawn(port, ECHO_START="fail")
    _, stderr = await asyncio.to_thread(process.communicate, timeout=30)
    assert (process.returncode, stderr) == (2, "echo: model.gguf: is not a GGUF file\n")


async def test_a_busy_port_is_one_line_and_exit_code_2(spawn: Spawn, port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        process = spawn(port)
        _, stderr = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 2
    assert stderr.startswith(f"echo: MILEPOST_LISTEN: port {port} is in use")
    assert stderr.count("\n") == 1


async def test_a_port_of_another_milepost_process_is_busy_too(
    spawn: Spawn, port: int, channel: grpc.aio.Channel
) -> None:
    spawn(port)
    await until_serving(channel)
    second = spawn(port)
    _, stderr = await asyncio.to_thread(second.communicate, timeout=30)
    assert (second.returncode, stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("MILEPOST_LISTEN", "nowhere", "MILEPOST_LISTEN: 'nowhere' is not an address; allowed: host:port"),
        ("MILEPOST_LOG_LEVEL", "LOUD", "MILEPOST_LOG_LEVEL: "),
        ("MILEPOST_THREADS", "0", "MILEPOST_THREADS: "),
        ("MILEPOST_REGISTRIES", "127.0.0.1:1,b", "MILEPOST_REGISTRIES: 'b' is not an address"),
    ],
)
def test_a_wrong_setting_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv("MILEPOST_SERVICE_FILE", "service.yaml")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as error:
        ServiceSettings.load()
    assert str(error.value).startswith(expected)
    assert "\n" not in str(error.value)


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILEPOST_SERVICE_FILE", raising=False)
    with pytest.raises(ConfigurationError, match=r"^MILEPOST_SERVICE_FILE: is not set$"):
        ServiceSettings.load()


def test_registries_are_split_and_a_wildcard_address_is_advertised_by_host_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MILEPOST_REGISTRIES", "127.0.0.1:1, [::1]:2")
    settings = ServiceSettings.load(service_file=Path("service.yaml"), listen="0.0.0.0:7")
    assert settings.registries == ["127.0.0.1:1", "[::1]:2"]
    assert settings.target == f"{socket.gethostname()}:7"


async def test_reflection_lists_the_services(spawn: Spawn, port: int, channel: grpc.aio.Channel) -> None:
    spawn(port)
    await until_serving(channel)
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    stream = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=60)
    names = [service.name async for answer in stream for service in answer.list_services_response.service]
    assert {"milepost.capability.v1.CapabilityService", "grpc.health.v1.Health"} <= set(names)


async def test_sigterm_lets_a_call_in_progress_finish(spawn: Spawn, port: int, channel: grpc.aio.Channel) -> None:
    process = spawn(port)
    await until_serving(channel)
    stub = capability_pb2_grpc.CapabilityServiceStub(channel)
    request = capability_pb2.InvokeRequest(prompt="one wait wait two")
    received = []
    async for response in stub.Invoke(request, timeout=60):
        if not received:
            process.send_signal(signal.SIGTERM)
        received.append(response)
    assert [response.delta for response in received[:-1]] == ["one", "wait", "wait", "two"]
    assert received[-1].result.text == request.prompt
    _, stderr = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 0, stderr


async def test_a_second_signal_ends_calls_in_progress(spawn: Spawn, port: int, channel: grpc.aio.Channel) -> None:
    process = spawn(port, MILEPOST_GRACE_SECONDS="3600")
    await until_serving(channel)
    stub = capability_pb2_grpc.CapabilityServiceStub(channel)
    call = stub.Invoke(capability_pb2.InvokeRequest(prompt="one hang"), timeout=60)
    await call.read()
    watch: Any = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
    assert (await watch.read()).status == SERVING
    process.send_signal(signal.SIGTERM)
    assert (await watch.read()).status == NOT_SERVING
    process.send_signal(signal.SIGTERM)
    _, stderr = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 0, stderr
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()


async def test_however_often_it_is_asked_to_stop_it_ends_cleanly(
    spawn: Spawn, port: int, channel: grpc.aio.Channel
) -> None:
    process = spawn(port)
    await until_serving(channel)
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.001)
    assert process.returncode == 0


class Registry(registry_pb2_grpc.RegistryServiceServicer):
    """Records what services tell it; real gRPC, no rules."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()

    async def Register(self, request: Any, context: Any) -> registry_pb2.RegisterResponse:
        self.events.put_nowait(request)
        return registry_pb2.RegisterResponse()

    async def Deregister(self, request: Any, context: Any) -> registry_pb2.DeregisterResponse:
        self.events.put_nowait(request)
        return registry_pb2.DeregisterResponse()

    async def ListServices(self, request: Any, context: Any) -> registry_pb2.ListServicesResponse:
        return registry_pb2.ListServicesResponse()

    async def WatchServices(self, request: Any, context: Any) -> AsyncIterator[registry_pb2.WatchServicesResponse]:
        yield registry_pb2.WatchServicesResponse()


@pytest.mark.requirement("REG-1")
async def test_a_service_registers_when_serving_even_if_the_registry_comes_later_and_leaves_at_the_end(
    spawn: Spawn, port: int, channel: grpc.aio.Channel
) -> None:
    registry_port = free_port()
    process = spawn(port, MILEPOST_REGISTRIES=f"127.0.0.1:{registry_port}")
    await until_serving(channel)
    registry, server = Registry(), grpc.aio.server()
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(registry, server)
    server.add_insecure_port(f"127.0.0.1:{registry_port}")
    await server.start()
    try:
        request = await registry.events.get()
        assert list(request.service.capabilities) == ["general"]
        assert request.lease.seconds == 15
        process.send_signal(signal.SIGTERM)
        last = await registry.events.get()
        assert isinstance(last, registry_pb2.DeregisterRequest)
        assert last.name == "echo"
    finally:
        await server.stop(0)


async def test_the_call_log_counts_what_was_begun_and_what_was_answered(
    spawn: Spawn, port: int, channel: grpc.aio.Channel
) -> None:
    spawn(port)
    await until_serving(channel)
    stub = capability_pb2_grpc.CapabilityServiceStub(channel)
    whole = stub.Invoke(
        capability_pb2.InvokeRequest(prompt="a b"),
        timeout=60,
        metadata=call_metadata(call_id="whole", correlation_id="c-1"),
    )
    assert len([response async for response in whole]) == 3
    cut = stub.Invoke(capability_pb2.InvokeRequest(prompt="a hang"), timeout=60, metadata=call_metadata(call_id="cut"))
    await cut.read()
    cut.cancel()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Invoke(
            capability_pb2.InvokeRequest(prompt="full"), timeout=60, metadata=call_metadata(call_id="refused")
        ).read()
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.value.details() == "the queue is full"
    assert dict(refused.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1500"

    listed = await stub.ListCalls(capability_pb2.ListCallsRequest(), timeout=60)
    counts = {call.call_id: (call.started, call.completed) for call in listed.calls}
    assert counts == {"whole": (1, 1), "cut": (1, 0), "refused": (1, 0)}
    assert next(call for call in listed.calls if call.call_id == "whole").correlation_id == "c-1"


@pytest.mark.requirement("OBS-3")
async def test_a_process_tells_what_it_uses_and_works_on(spawn: Spawn, port: int, channel: grpc.aio.Channel) -> None:
    """GetUsage counts the call that is worked on, with a call id and without, and no other."""
    spawn(port)
    await until_serving(channel)
    stub = capability_pb2_grpc.CapabilityServiceStub(channel)
    hanging = [
        stub.Invoke(capability_pb2.InvokeRequest(prompt="a hang"), timeout=60, metadata=metadata)
        for metadata in (None, call_metadata(call_id="known"))
    ]
    for call in hanging:
        await call.read()
    usage = (await stub.GetUsage(capability_pb2.GetUsageRequest(), timeout=60)).usage
    assert (usage.active_calls, usage.queued_calls) == (2, 0)
    assert usage.memory_bytes > 1_000_000
    assert usage.source in ("cgroup", "process")
    for call in hanging:
        call.cancel()
    while (await stub.GetUsage(capability_pb2.GetUsageRequest(), timeout=60)).usage.active_calls:
        await asyncio.sleep(0.01)
