"""The metrics of an agent, of a real store and what is committed to it."""

import asyncio
from pathlib import Path

import pytest

from milepost_agent.counts import Counts
from milepost_agent.metrics import Metrics
from milepost_agent.store import NewEvent, NewRun, Store


@pytest.mark.requirement("RTR-5")
async def test_recommendations_are_counted_by_the_path_that_answered(tmp_path: Path) -> None:
    """When they are committed; each path is there from the beginning, so that its first answer is a change."""
    counts = Counts()
    store = await Store.open(tmp_path / "milepost.db")
    store.listen(counts.committed)
    await store.accept_run(NewRun("run", "correlation", "hash", "flow", "digest", "go", 4, 0))
    for number, path in enumerate(["embedding", "keywords", "embedding"]):
        data = {"path": path, "duration_ms": 20.0 + number}
        store.note("run", NewEvent("Recommended", data=data, key=str(number)))
    await store.journal_own([NewEvent("AgentStarted")], correlation_id="correlation")
    await store.close()
    families = {family.name: family for family in Metrics(counts, asyncio.get_running_loop()).collect()}
    samples = families["milepost_router_recommendations"].samples
    assert {sample.labels["path"]: sample.value for sample in samples} == {
        "embedding": 2,
        "keywords": 1,
        "language_model": 0,
    }
    times = {
        (each.name, each.labels.get("le")): each.value
        for each in families["milepost_router_seconds"].samples
        if each.labels["path"] == "embedding"
    }
    assert (times["milepost_router_seconds_bucket", "0.01"], times["milepost_router_seconds_bucket", "0.025"]) == (0, 2)
    assert times["milepost_router_seconds_sum", None] == pytest.approx(0.042)


@pytest.mark.requirement("ARB-2")
async def test_decisions_are_counted_by_how_they_stand_to_the_recommendation(tmp_path: Path) -> None:
    counts = Counts()
    store = await Store.open(tmp_path / "milepost.db")
    store.listen(counts.committed)
    await store.accept_run(NewRun("run", "correlation", "hash", "flow", "digest", "go", 4, 0))
    decided = [("invoke", True), ("invoke", False), ("invoke", True), ("skip", False), ("ask", False)]
    for number, (action, agreed) in enumerate(decided):
        store.note("run", NewEvent("Decided", data={"action": action, "agreed": agreed}, key=str(number)))
    await store.journal_own([NewEvent("AgentStarted")], correlation_id="correlation")
    await store.close()
    families = {family.name: family for family in Metrics(counts, asyncio.get_running_loop()).collect()}
    assert {sample.labels["verdict"]: sample.value for sample in families["milepost_decisions"].samples} == {
        "agreed": 2,
        "overruled": 1,
        "skipped": 1,
        "finished": 0,
        "asked": 1,
    }
