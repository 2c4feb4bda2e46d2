"""Leases, health and waiting in the registry, with a clock of the test's own."""

import asyncio
from dataclasses import dataclass, replace

import pytest
from grpc_health.v1 import health_pb2

from agent_harness import ScriptedService
from milepost.registry.v1 import registry_pb2
from milepost_agent.clients import HealthMonitor, ServiceClients
from milepost_agent.registry import Entry, Registry, ServiceUsage


@dataclass
class Clock:
    time: float = 1000.0

    def __call__(self) -> float:
        return self.time


def entry(name: str = "coder", target: str = "127.0.0.1:1", *capabilities: str) -> Entry:
    return Entry(name, target, capabilities or ("coding",))


@pytest.mark.requirement("REG-1")
async def test_service_is_a_candidate_only_while_it_is_healthy() -> None:
    registry = Registry()
    registry.register(entry())
    assert registry.ready("coding") == []
    registry.set_health("coder", "127.0.0.1:1", healthy=True)
    assert [each.name for each in registry.ready("coding")] == ["coder"]
    assert registry.ready("rag") == []
    registry.set_health("coder", "127.0.0.1:1", healthy=False)
    assert registry.ready("coding") == []


@pytest.mark.requirement("REG-1")
async def test_service_whose_lease_ran_out_is_gone_and_renewal_keeps_it() -> None:
    clock = Clock()
    registry = Registry(clock)
    registry.register(entry("kept"), 10)
    registry.register(entry("lost", "127.0.0.1:2"), 10)
    clock.time += 8
    registry.register(entry("kept"), 10)
    clock.time += 8
    registry.expire()
    assert [each.name for each in registry.entries()] == ["kept"]


async def test_renewal_keeps_health_and_a_new_target_must_prove_it() -> None:
    registry = Registry()
    registry.register(entry())
    registry.set_health("coder", "127.0.0.1:1", healthy=True)
    assert registry.register(entry()).healthy
    assert not registry.register(entry(target="127.0.0.1:9")).healthy
    registry.set_health("coder", "127.0.0.1:1", healthy=True)
    assert registry.ready() == [], "a check of the old target says nothing about the new one"


@pytest.mark.requirement("REG-1")
async def test_restored_services_are_known_but_not_ready_and_go_when_they_do_not_come_back() -> None:
    clock = Clock()
    before = Registry(clock)
    before.register(entry(), 10)
    before.set_health("coder", "127.0.0.1:1", healthy=True)
    clock.time += 3600
    registry = Registry(clock)
    registry.restore(before.rows())
    assert [each.name for each in registry.entries()] == ["coder"]
    assert registry.ready() == []
    clock.time += 16
    registry.expire()
    assert registry.entries() == []


@pytest.mark.requirement("RTR-2")
async def test_who_waits_hears_of_a_service_as_soon_as_it_is_ready() -> None:
    registry = Registry()
    waiting = asyncio.create_task(registry.wait_ready(30, capability="coding"))
    await asyncio.sleep(0)
    registry.register(entry("searcher", "127.0.0.1:3", "rag"))
    registry.set_health("searcher", "127.0.0.1:3", healthy=True)
    await asyncio.sleep(0)
    assert not waiting.done()
    registry.register(entry())
    registry.set_health("coder", "127.0.0.1:1", healthy=True)
    assert [each.name for each in await asyncio.wait_for(waiting, 5)] == ["coder"]
    assert await registry.wait_ready(0.01, capability="tools") == []


async def test_watch_sends_what_is_known_then_changes_then_ends() -> None:
    registry = Registry()
    registry.register(entry())

    async def watch() -> list[tuple[str, bool, bool]]:
        return [(each.name, each.healthy, each.gone) async for each in registry.watch()]

    task = asyncio.create_task(watch())
    await asyncio.sleep(0)
    registry.set_health("coder", "127.0.0.1:1", healthy=True)
    registry.remove("coder")
    registry.end_watches()
    seen = await asyncio.wait_for(task, 5)
    assert seen == [("coder", False, False), ("coder", True, False), ("coder", False, True)]


@pytest.mark.requirement("REG-1")
async def test_service_that_says_it_is_not_serving_is_no_candidate() -> None:
    service = ScriptedService("coder", ("coding",))
    await service.start()
    registry, clients = Registry(), ServiceClients()
    monitor = HealthMonitor(registry, clients)
    await monitor.check(registry.register(service.entry()))
    assert [each.name for each in registry.ready("coding")] == ["coder"]
    await service.say(health_pb2.HealthCheckResponse.NOT_SERVING)
    await monitor.check(registry.entries()[0])
    assert registry.ready("coding") == []
    await service.say(health_pb2.HealthCheckResponse.SERVING)
    await monitor.check(registry.entries()[0])
    assert [each.name for each in registry.ready("coding")] == ["coder"]
    await clients.close()
    await service.stop()


@pytest.mark.requirement("REG-1")
async def test_a_name_that_is_not_found_is_asked_for_anew_at_every_check() -> None:
    registry, clients = Registry(), ServiceClients()
    target = f"{'x' * 64}.test:1"  # longer than a name may be: the resolver refuses it without asking anyone
    known = registry.adopt(entry(target=target))
    before = clients.channel(target)
    await HealthMonitor(registry, clients).check(known)
    assert clients.channel(target) is not before
    service = ScriptedService("coder", ("coding",))
    await service.start()
    await service.say(health_pb2.HealthCheckResponse.NOT_SERVING)
    known = registry.adopt(service.entry())
    kept = clients.channel(known.target)
    await HealthMonitor(registry, clients).check(known)
    assert clients.channel(known.target) is kept
    await clients.close()
    await service.stop()


@pytest.mark.requirement("OBS-3")
async def test_ready_services_are_asked_what_they_use_and_one_that_cannot_say_keeps_what_it_registered() -> None:
    """The monitor's figures reach watchers, hold over a renewal, and are not stored."""
    service, silent = ScriptedService("coder", ("coding",)), ScriptedService("other", ("coding",))
    service.usage = registry_pb2.Usage(cpu_cores=0.5, memory_limit_bytes=7, tokens_per_second=9.5, source="cgroup")
    registered = ServiceUsage(cpu_cores=0.1, memory_bytes=5)
    registry, clients = Registry(), ServiceClients()
    for each in (service, silent):
        await each.start()
        registry.register(replace(each.entry(), usage=registered if each is silent else ServiceUsage()))
    monitor = HealthMonitor(registry, clients)
    monitor.start()
    async for entry in registry.watch():
        if entry.usage.source:
            break
    assert entry.name == "coder"
    assert entry.usage == ServiceUsage(cpu_cores=0.5, memory_limit_bytes=7, tokens_per_second=9.5, source="cgroup")
    assert registry.register(service.entry()).usage == entry.usage
    await monitor.ask_usage(registry.entries()[1])
    assert registry.entries()[1].usage == registered
    assert "usage" not in registry.rows()[0]
    await monitor.stop()
    await clients.close()
    for each in (service, silent):
        await each.stop()


def test_services_that_an_earlier_version_stored_are_taken_over() -> None:
    """Rows with fields that are gone are read all the same."""
    registry = Registry()
    registry.register(entry())
    registry_after = Registry()
    registry_after.restore([{**registry.rows()[0], "cpu_cores": 0.5, "memory_bytes": 1}])
    assert [each.name for each in registry_after.entries()] == ["coder"]
