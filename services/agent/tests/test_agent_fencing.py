"""A process whose file has a new owner can neither write nor call, and its runs are not failed by it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from agent_harness import ScriptedService, agent, workflow
from milepost_agent.errors import StoreFenced
from milepost_agent.store import NewEvent, Store

STEPS = [{"name": "code", "role": "coder", "capability": "coding"}]


@pytest.fixture
async def worker() -> AsyncIterator[ScriptedService]:
    service = ScriptedService("worker", ("coding",))
    await service.start()
    yield service
    await service.stop()


async def displace(path: Path) -> Store:
    """Takes the file over as a process does that does not see the lock, for example on a copied volume."""
    (path / "milepost.db.lock").unlink()
    return await Store.open(path / "milepost.db")


@pytest.mark.requirement("DUR-4", "DUR-1")
async def test_a_displaced_process_can_neither_write_nor_call(tmp_path: Path, worker: ScriptedService) -> None:
    async with agent(tmp_path, workflow(steps=STEPS), worker) as harness:
        record = await harness.run()
        successor = await displace(tmp_path)
        assert successor.epoch == harness.store.epoch + 1
        assert successor.owner_id == harness.store.owner_id
        with pytest.raises(StoreFenced, match="another process took over; this one must stop"):
            await harness.store.ledger_get("any/0")
        assert isinstance(harness.store.failure, StoreFenced)
        with pytest.raises(StoreFenced):
            await harness.runner.accept("another")
        with pytest.raises(StoreFenced):
            await harness.store.commit(record.run_id, events=[NewEvent("Late")])
        assert (await harness.runner.get(record.run_id)).outcome == "Completed", "reading goes on"
        await successor.close()
    assert len(worker.requests) == 1


@pytest.mark.requirement("DUR-4")
async def test_a_process_that_is_displaced_in_the_middle_of_a_run_leaves_it_to_its_successor(
    tmp_path: Path, worker: ScriptedService
) -> None:
    worker.hang = True
    async with agent(tmp_path, workflow(steps=STEPS), worker) as harness:
        record, _ = await harness.runner.accept("go")
        await asyncio.wait_for(worker.entered.wait(), 20)
        successor = await displace(tmp_path)
        await successor.close()
        worker.hang = False
        async with asyncio.timeout(60):
            while harness.store.failure is None:
                await asyncio.sleep(0.01)
    async with agent(tmp_path, workflow(steps=STEPS), worker, recovering=True) as harness:
        ended = await harness.ended(record.run_id)
    assert ended.outcome == "Completed"
    assert len(set(worker.call_ids)) == 1


@pytest.mark.requirement("DUR-4")
async def test_a_service_that_knows_a_later_owner_stops_this_one_without_failing_the_run(
    tmp_path: Path, worker: ScriptedService
) -> None:
    worker.refusal = (grpc.StatusCode.FAILED_PRECONDITION, "epoch 1 of x is displaced by epoch 2")
    async with agent(tmp_path, workflow(steps=STEPS), worker) as harness:
        record, _ = await harness.runner.accept("go")
        await asyncio.wait_for(worker.entered.wait(), 20)
        async with asyncio.timeout(60):
            while harness.runner.is_driving(record.run_id):
                await asyncio.sleep(0.01)
        assert (await harness.runner.get(record.run_id)).state == "running"


@pytest.mark.requirement("DUR-4", "AGT-3")
async def test_a_call_says_whose_it_is_and_how_long_it_may_linger(tmp_path: Path, worker: ScriptedService) -> None:
    async with agent(tmp_path, workflow(steps=STEPS), worker) as harness:
        await harness.run()
        sent = worker.metadata[0]
        assert sent["milepost-owner"] == harness.store.owner_id
        assert sent["milepost-epoch"] == str(harness.store.epoch)
    assert sent["milepost-linger-ms"] == "30000"


@pytest.mark.requirement("AGT-3")
async def test_cancel_tells_the_service_to_stop_what_it_would_linger_on(
    tmp_path: Path, worker: ScriptedService
) -> None:
    worker.hang = True
    async with agent(tmp_path, workflow(steps=STEPS), worker) as harness:
        record, _ = await harness.runner.accept("go")
        await asyncio.wait_for(worker.entered.wait(), 20)
        ended = await harness.steering.cancel(record.run_id, "no longer needed")
    assert ended.outcome == "Cancelled"
    assert worker.stopped == worker.call_ids
    assert worker.cancelled.is_set()
