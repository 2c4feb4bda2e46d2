"""Leases, health and waiting in the registry, with a clock of the test's own."""

import asyncio
import time
import tracemalloc
from dataclasses import dataclass, replace

import pytest
from grpc_health.v1 import health_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_harness import ScriptedService
from milepost.registry.v1 import registry_pb2
from milepost_agent.clients import HealthMonitor, ServiceClients
from milepost_agent.clients.health import (
    CHECK_SECONDS,
    CHECK_TIMEOUT_SECONDS,
    CHECKS_A_SECOND,
    LONGEST_CHECK_SECONDS,
    TICK_SECONDS,
    Rota,
)
from milepost_agent.conversion import lease_expire_time
from milepost_agent.registry import Entry, Registry, ServiceUsage
from milepost_service.errors import ResourceExhaustedError


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
    assert [each.name for each in await asyncio.wait_for(waiting, 60)] == ["coder"]
    assert await registry.wait_ready(0.01, capability="tools") == []


async def test_watch_sends_what_is_known_then_the_newest_of_what_changed_then_ends() -> None:
    registry = Registry()
    registry.register(entry("a"))
    registry.register(entry("b"))
    watch = registry.watch()
    assert [(await anext(watch)).name for _ in range(2)] == ["a", "b"]
    for healthy in (True, False, True):
        registry.set_health("b", "127.0.0.1:1", healthy=healthy)
    registry.register(entry("a"))  # a renewed lease is no news
    registry.remove("a")
    registry.register(entry("c"))
    registry.remove("c")  # never told of
    registry.end_watches()
    seen = [(each.name, each.healthy, each.gone) async for each in watch]
    assert seen == [("b", True, False), ("a", False, True)]


async def test_a_watcher_that_does_not_read_holds_no_more_than_there_are_services() -> None:
    registry = Registry()
    reader, sleeper = registry.watch(), registry.watch()
    registry.register(entry("kept"))
    for watch in (reader, sleeper):
        assert (await anext(watch)).name == "kept"
    tracemalloc.start()
    registry_before = tracemalloc.get_traced_memory()[0]
    for number in range(20_000):
        registry.register(entry(f"passing{number}", "127.0.0.1:1", *(f"tag{each}" for each in range(5))))
        registry.set_usage("kept", "127.0.0.1:1", ServiceUsage(memory_bytes=number))
        registry.remove(f"passing{number}")
    grown = tracemalloc.get_traced_memory()[0] - registry_before
    tracemalloc.stop()
    assert grown < 100_000, "20,000 services that came and went would be megabytes"
    assert (await anext(sleeper)).usage.memory_bytes == 19_999


@pytest.mark.requirement("REG-1")
async def test_leases_do_not_follow_the_time_of_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry()
    known = registry.register(entry(), 300)
    set_back = time.time() - 86_400
    monkeypatch.setattr(time, "time", lambda: set_back)
    assert lease_expire_time(registry, known).ToSeconds() == pytest.approx(set_back + 300, abs=30)
    monkeypatch.setattr(time, "time", lambda: set_back + 3 * 86_400)
    registry.expire()
    assert [each.name for each in registry.entries()] == ["coder"]


@pytest.mark.requirement("REG-1")
async def test_a_service_that_comes_back_after_its_lease_must_prove_its_health_anew() -> None:
    clock = Clock()
    registry = Registry(clock)
    registry.register(entry(), 10)
    registry.set_health("coder", "127.0.0.1:1", healthy=True)
    clock.time += 11
    registry.expire()
    assert registry.ready() == []
    assert not registry.register(entry(), 10).healthy
    assert registry.ready() == []


async def test_there_are_no_more_services_than_allowed_and_who_is_there_may_stay() -> None:
    registry = Registry()
    refused = 0
    for number in range(5_000):
        try:
            registry.register(entry(f"s{number}"))
        except ResourceExhaustedError as error:
            refused += 1
            assert str(error) == "service: 2000 are registered; allowed: at most 2000"
    assert (len(registry.entries()), refused) == (2_000, 3_000)
    registry.register(entry("s7"), 300)
    registry.adopt(entry("of-the-cluster"))
    registry.remove("s7")
    registry.register(entry("s4999"))


async def test_only_those_who_wait_for_it_are_woken_by_a_service() -> None:
    registry = Registry()
    waiting = [asyncio.create_task(registry.wait_ready(30, capability="rag")) for _ in range(3)]
    await asyncio.sleep(0)
    looked = 0
    ready = registry.ready

    def count(capability: str = "", name: str = "") -> list[Entry]:
        nonlocal looked
        looked += 1
        return ready(capability, name)

    registry.ready = count  # type: ignore[method-assign]
    for number in range(100):
        registry.register(entry(f"coder{number}", "127.0.0.1:2", "coding"))
        registry.set_health(f"coder{number}", "127.0.0.1:2", healthy=True)
        registry.set_usage(f"coder{number}", "127.0.0.1:2", ServiceUsage(active_calls=1))
        await asyncio.sleep(0)
    assert looked == 0
    registry.register(entry("searcher", "127.0.0.1:3", "rag"))
    registry.set_health("searcher", "127.0.0.1:3", healthy=True)
    async with asyncio.timeout(60):
        assert [[each.name for each in await found] for found in waiting] == [["searcher"]] * 3


@pytest.mark.requirement("REG-1")
@given(st.lists(st.integers(0, 400), min_size=1, max_size=40))
@settings(deadline=None)
def test_everyone_is_asked_within_the_time_in_which_one_that_hangs_must_be_noticed(sizes: list[int]) -> None:
    """However the number of services changes; and never much more often than it must."""
    clock = Clock()
    rota = Rota(CHECK_SECONDS, CHECKS_A_SECOND, LONGEST_CHECK_SECONDS, now=clock)
    since: dict[str, float] = {}
    for size in sizes:
        names = [f"s{number}" for number in range(size)]
        since = {name: since.get(name, clock.time) for name in names}
        for _ in range(8):
            clock.time += TICK_SECONDS
            turn = rota.due(names)
            assert len(turn) == len(set(turn))
            since |= dict.fromkeys(turn, clock.time)
            longest = max((clock.time - asked for asked in since.values()), default=0.0)
            assert longest + CHECK_TIMEOUT_SECONDS < 10


def test_many_are_asked_evenly_over_the_time_there_is() -> None:
    clock = Clock()
    rota = Rota(CHECK_SECONDS, CHECKS_A_SECOND, LONGEST_CHECK_SECONDS, now=clock)
    names = [f"s{number}" for number in range(500)]
    turns = []
    for _ in range(int(10 * LONGEST_CHECK_SECONDS / TICK_SECONDS)):
        turns.append(len(rota.due(names)))
        clock.time += TICK_SECONDS
    assert max(turns) < 100
    assert sum(turns) / (len(turns) * TICK_SECONDS) == pytest.approx(500 / LONGEST_CHECK_SECONDS, rel=0.2)


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
