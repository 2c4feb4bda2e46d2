"""A call that breaks off goes out again, as the same call, until it is answered or the step's time is over."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from agent_harness import Harness, ScriptedService, agent, workflow
from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost_agent.nodes import step
from milepost_agent.registry import Entry
from milepost_service.channels import open_channel
from milepost_service.testing import free_port

ECHO = Path(__file__).parents[2] / "common" / "tests" / "echo_service.py"
UNAVAILABLE, EXHAUSTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED


def one_step(**changes: Any) -> Any:
    return workflow(steps=[{"name": "code", "role": "coder", "serviceRef": {"name": "coder"}, **changes}])


async def adopt(here: Harness, *services: ScriptedService) -> None:
    for service in services:
        await here.health.check(here.registry.adopt(service.entry()))


@pytest.mark.requirement("REG-1")
async def test_a_run_waits_for_a_service_that_left_the_registry_in_the_middle_of_its_call(tmp_path: Path) -> None:
    coder, brain = ScriptedService("coder", ("coding",), hang=True), ScriptedService("brain", ("general",))
    for each in (coder, brain):
        await each.start()
    async with agent(tmp_path, one_step()) as here:
        await adopt(here, coder, brain)
        record, _ = await here.runner.accept("Write a function")
        await asyncio.wait_for(coder.entered.wait(), 20)
        await coder.stop()
        here.registry.remove("coder")  # what the operator does when its pod is no longer ready
        coder.hang = False
        await asyncio.sleep(0.5)
        assert (await here.runner.get(record.run_id)).state == "running"
        await coder.start()
        await adopt(here, coder)
        assert (await here.ended(record.run_id)).outcome == "Completed"
        assert len(set(coder.call_ids)) == 1, "the same call, again"
    await coder.stop()
    await brain.stop()


@pytest.mark.requirement("DUR-3")
async def test_a_process_killed_in_the_middle_of_a_call_and_back_later_is_asked_again(tmp_path: Path) -> None:
    port = free_port()
    target = f"127.0.0.1:{port}"

    def start() -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "MILEPOST_LISTEN": target, "MILEPOST_SERVICE_FILE": "x"}
        return subprocess.Popen([sys.executable, str(ECHO)], env=environment, stderr=subprocess.DEVNULL)

    async def calls() -> list[tuple[str, int, int]]:
        async with open_channel(target) as channel:
            stub = capability_pb2_grpc.CapabilityServiceStub(channel)
            listed = await stub.ListCalls(capability_pb2.ListCallsRequest(), timeout=60, wait_for_ready=True)
            return [(call.call_id, call.started, call.completed) for call in listed.calls]

    process = start()
    try:
        async with agent(tmp_path, one_step()) as here:
            here.registry.adopt(Entry("coder", target, ("coding",)))
            record, _ = await here.runner.accept("one " + "wait " * 8)
            async with asyncio.timeout(30):
                while not (before := await calls()):
                    await asyncio.sleep(0.1)
            process.send_signal(signal.SIGKILL)
            process.wait()
            here.registry.remove("coder")
            await asyncio.sleep(5)
            process = start()
            here.registry.adopt(Entry("coder", target, ("coding",)))
            ended = await asyncio.wait_for(here.ended(record.run_id), 60)
            events = await here.events(record.run_id)
            assert (ended.outcome, ended.result) == ("Completed", "one " + "wait " * 8)
            assert [event.data["attempt"] for event in events if event.type == "StepStarted"] == [1, 2]
            assert await calls() == [(before[0][0], 1, 1)], "the second process got the call of the first"
    finally:
        process.kill()
        process.wait()


async def test_a_busy_service_is_asked_again_however_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(step, "LONGEST_BACKOFF_SECONDS", 0.01)
    coder = ScriptedService("coder", ("coding",), failures=[EXHAUSTED] * 20)
    await coder.start()
    async with agent(tmp_path, one_step()) as here:
        await adopt(here, coder)
        record = await here.run()
    await coder.stop()
    assert record.outcome == "Completed"
    assert (len(coder.call_ids), len(set(coder.call_ids))) == (21, 1)


async def test_a_call_that_breaks_off_whoever_gets_it_comes_to_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "BACKOFF_SECONDS", 0.001)
    coder = ScriptedService("coder", ("coding",), failures=[UNAVAILABLE] * 20)
    await coder.start()
    async with agent(tmp_path, one_step()) as here:
        await adopt(here, coder)
        record = await here.run()
    await coder.stop()
    assert record.outcome == "Failed"
    assert record.reason == "Unavailable: step code: coder: Unavailable: scripted failure"
    assert len(coder.call_ids) == step.MAX_FAILURES


async def test_a_service_that_does_not_come_back_ends_the_step_when_its_time_is_over(tmp_path: Path) -> None:
    coder = ScriptedService("coder", ("coding",), hang=True)
    await coder.start()
    async with agent(tmp_path, one_step(timeout="3s")) as here:
        await adopt(here, coder)
        record, _ = await here.runner.accept("Write a function")
        await asyncio.wait_for(coder.entered.wait(), 20)
        await coder.stop()
        here.registry.remove("coder")
        ended = await here.ended(record.run_id)
    assert (ended.outcome, ended.reason) == (
        "Failed",
        "Unavailable: step code: coder: Unavailable: did not become ready within 3s",
    )
