"""The exporter beside a real store: where it begins, what it counts, what it notes. The connection is a fake."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from milepost_agent.store import NewEvent, NewRun, Store
from milepost_agent.tracing import exporter as module
from milepost_agent.tracing.exporter import JournalExporter
from milepost_service.telemetry.connection import Answer
from milepost_service.telemetry.counters import ExportCounters
from milepost_service.telemetry.destination import Destination

PLACE = Destination("http://receiver:4317", "receiver:4317", False)


class Receiver:
    """Answers as it is told, and keeps the names of the spans of each run that it took."""

    def __init__(self) -> None:
        self.answer: Callable[[], Answer] = Answer
        self.taken: list[tuple[str, str]] = []

    def send(self, request: bytes) -> Answer:
        answer = self.answer()
        if not answer.again and not answer.refused:
            for each in ExportTraceServiceRequest.FromString(request).resource_spans:
                for span in each.scope_spans[0].spans:
                    thread = next(pair.value.string_value for pair in span.attributes if pair.key == "thread.id")
                    self.taken.append((thread, span.name))
        return answer

    def close(self) -> None:
        pass


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "milepost.db", history=False)
    yield store
    await store.close()


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> ExportCounters:
    counters = ExportCounters()
    monkeypatch.setattr(module, "exports", counters)
    monkeypatch.setattr(module, "FIRST_LOOK", 0.0)
    monkeypatch.setattr(module, "LOOK", 0.02)
    return counters


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


async def begin(store: Store, receiver: Receiver) -> JournalExporter:
    exporter = JournalExporter(store, "flow", PLACE)
    exporter._connection = receiver  # type: ignore[assignment]
    await exporter.start()
    return exporter


async def accept(store: Store, name: str) -> str:
    await store.accept_run(NewRun(name, f"c-{name}", "hash", "flow", "digest", "go", 3, 0))
    return name


async def run(store: Store, name: str) -> str:
    """A run that was cancelled at once: two spans."""
    end = NewEvent("RunCompleted", data={"outcome": "Cancelled", "reason": "", "result": ""})
    await store.commit(await accept(store, name), events=[end], update={"state": "ended", "outcome": "Cancelled"})
    return name


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def spans_of(*names: str) -> list[tuple[str, str]]:
    return [(name, span) for name in names for span in ("agent.route_recommendation", "agent.run")]


@pytest.mark.requirement("OBS-2", "OBS-5")
async def test_each_span_goes_out_once_over_restarts(
    store: Store, receiver: Receiver, counters: ExportCounters
) -> None:
    """The next exporter goes on where the last one stopped; a run that was accepted in between is whole."""
    first = await begin(store, receiver)
    await run(store, "a")
    await accept(store, "b")
    await until(lambda: not first.lag())
    await asyncio.to_thread(first.stop)
    await run(store, "c")
    end = NewEvent("RunCompleted", data={"outcome": "Cancelled", "reason": "", "result": ""})
    await store.commit("b", events=[end], update={"state": "ended"})
    second = await begin(store, receiver)
    await until(lambda: not second.lag())
    await asyncio.to_thread(second.stop)
    assert receiver.taken == spans_of("a", "c", "b")
    assert counters.exported == {"spans": 6}


@pytest.mark.requirement("OBS-2")
async def test_a_store_that_was_never_exported_begins_with_the_runs_that_go_on(
    store: Store, receiver: Receiver, counters: ExportCounters
) -> None:
    await run(store, "old")
    await accept(store, "open")
    await run(store, "new")
    exporter = await begin(store, receiver)
    await until(lambda: not exporter.lag())
    await asyncio.to_thread(exporter.stop)
    assert receiver.taken == spans_of("new")


@pytest.mark.requirement("OBS-5")
async def test_an_idle_exporter_writes_nothing(store: Store, receiver: Receiver, counters: ExportCounters) -> None:
    """The note of its position does not change while there is nothing new, and names the store that it is of."""
    exporter = await begin(store, receiver)
    await run(store, "a")
    await until(lambda: not exporter.lag())
    note = store.path.with_name("milepost.db.exported")
    before = note.stat()
    await asyncio.sleep(0.3)
    assert note.stat() == before
    kept = json.loads(note.read_text())
    assert kept == {"store_id": store.owner_id, "sequence": await store.last_sequence()}
    await asyncio.to_thread(exporter.stop)


@pytest.mark.parametrize("text", ["", "{", '{"store_id": "of another one", "sequence": 1}', "[1]"])
async def test_a_note_that_cannot_be_used_is_no_note(
    store: Store, receiver: Receiver, counters: ExportCounters, text: str
) -> None:
    store.path.with_name("milepost.db.exported").write_text(text)
    await accept(store, "open")
    exporter = await begin(store, receiver)
    end = NewEvent("RunCompleted", data={"outcome": "Cancelled", "reason": "", "result": ""})
    await store.commit("open", events=[end], update={"state": "ended"})
    await until(lambda: not exporter.lag())
    await asyncio.to_thread(exporter.stop)
    assert receiver.taken == spans_of("open")


@pytest.mark.requirement("OBS-5")
async def test_what_lags_too_far_behind_is_given_up_and_counted(
    store: Store, receiver: Receiver, counters: ExportCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that comes back gets the newest; what it misses is counted, and no run loses its later spans."""
    monkeypatch.setattr(module, "MOST_LAG", 4)
    receiver.answer = lambda: Answer(again=True, failure="UNAVAILABLE: nobody there")
    exporter = await begin(store, receiver)
    await run(store, "a")
    await until(lambda: counters.failure)
    for name in "bcdef":
        await run(store, name)
    assert exporter.lag() >= 10
    receiver.answer = Answer
    await until(lambda: not exporter.lag())
    await asyncio.to_thread(exporter.stop)
    assert receiver.taken == spans_of("a", "e", "f")
    assert counters.dropped == {("spans", module.LAGGED): 6}
    assert counters.failure == ""


@pytest.mark.requirement("OBS-5")
async def test_what_is_refused_for_good_is_counted_and_left_behind(
    store: Store, receiver: Receiver, counters: ExportCounters
) -> None:
    receiver.answer = lambda: Answer(refused=True, failure="INVALID_ARGUMENT: no")
    exporter = await begin(store, receiver)
    await run(store, "a")
    await until(lambda: not exporter.lag())
    await asyncio.to_thread(exporter.stop)
    assert counters.dropped == {("spans", "refused"): 2}
    assert counters.failure == "spans: INVALID_ARGUMENT: no"


@pytest.mark.requirement("OBS-5")
async def test_a_store_that_is_opened_anew_is_read_on(
    store: Store, receiver: Receiver, counters: ExportCounters
) -> None:
    exporter = await begin(store, receiver)
    await run(store, "a")
    await until(lambda: not exporter.lag())
    await store.reopen()
    await run(store, "b")
    await until(lambda: not exporter.lag())
    await asyncio.to_thread(exporter.stop)
    assert receiver.taken == spans_of("a", "b")


async def test_an_event_that_is_not_understood_costs_its_run_and_no_other(
    store: Store, receiver: Receiver, counters: ExportCounters, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = await begin(store, receiver)
    broken: dict[str, Any] = {"services": [{}]}
    await store.commit(await accept(store, "a"), events=[NewEvent("Recommended", hop_index=1, data=broken)])
    await run(store, "b")
    await until(lambda: not exporter.lag())
    await asyncio.to_thread(exporter.stop)
    assert receiver.taken == spans_of("b")
    assert "is left out of what is exported" in caplog.text
