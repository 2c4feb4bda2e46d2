"""The size of the file: it shrinks again, also one of an older release, and what an older release kept goes."""

import asyncio
from pathlib import Path
from typing import Any

import apsw
import pytest
from langgraph.checkpoint.base import empty_checkpoint

from milepost_agent.store import ENDED, WAITING, NewEvent, Store, log_keeper, migrations, retention, space
from store_rows import left, rows
from store_zygote import new_run
from store_zygote import retention as retention_of


@pytest.fixture(autouse=True)
def without_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAUSE", 0.0)
    monkeypatch.setattr(retention, "LINGER", 0.0)


@pytest.mark.requirement("DUR-8")
async def test_a_new_file_shrinks_again_but_for_what_the_next_runs_need(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db")
    for number in range(60):
        await store.accept_run(new_run(f"run-{number}"))
        update: dict[str, Any] = {"state": ENDED}
        await store.commit(f"run-{number}", events=[NewEvent("Large", data={"x": "x" * 200_000})], update=update)
    sweeper = retention_of(store)
    await sweeper.sweep()
    await store.close()
    size = (tmp_path / "m.db").stat().st_size
    assert sweeper.counters.released_bytes > 6_000_000
    assert size <= (space.SPARE_PAGES + 64) * 4096
    await (await Store.open(tmp_path / "m.db")).close()


async def test_a_new_file_need_not_be_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "convert", lambda connection, path: None)
    store = await Store.open(tmp_path / "m.db")
    assert await store._readers.read(lambda db: db.pragma("auto_vacuum")) == 2
    await store.close()


def first_version(path: Path, filler: int = 0) -> None:
    """A file as the first version of the schema left it, with an ended run, a waiting one and their history."""
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    connection.execute(migrations.MIGRATIONS[0])
    connection.execute(
        "INSERT INTO meta VALUES ('schema_version', '1'), ('epoch', '4'), ('agent.x', zeroblob(?))", (filler,)
    )
    run = """INSERT INTO runs (run_id, correlation_id, request_hash, workflow, workflow_digest, prompt, state,
        remaining_hops, max_hops, max_cycles, traceparent, tracestate, create_time, update_time, end_time)
        VALUES (?, ?, '', '', 'digest', '', ?, 1, 1, 1, '', '', 1, 1, ?)"""
    event = """INSERT INTO journal (run_id, correlation_id, type, time, step, hop_index, data, traceparent)
        VALUES (?, ?, 'RunAccepted', 1, '', 0, '{}', '')"""
    for run_id, state, end in (("late", ENDED, 2.0), ("early", ENDED, 2.0), ("waits", WAITING, None)):
        connection.execute(run, (run_id, run_id, state, end))
    for run_id in ("early", "waits", "late"):
        connection.execute(event, (run_id, run_id))
        for number in range(5):
            key = (run_id, f"{number}")
            connection.execute("INSERT INTO checkpoints VALUES (?, '', ?, NULL, 'msgpack', x'80', '{}')", key)
            connection.execute("INSERT INTO writes VALUES (?, '', ?, 't', '', 0, 'done', 'msgpack', x'80')", key)
            connection.execute(
                "INSERT INTO checkpoint_order (thread_id, checkpoint_ns, checkpoint_id) VALUES (?, '', ?)", key
            )
    connection.close()


@pytest.mark.requirement("DUR-8")
async def test_a_file_of_the_first_version_is_thinned_out_and_can_shrink_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    first_version(path)
    store = await Store.open(path)
    foreign: Any = {"configurable": {"thread_id": "foreign", "checkpoint_ns": ""}}
    for number in range(3):
        await store.saver.aput(foreign, checkpoint(f"{number}"), {}, {})
    sweeper = retention_of(store, ended_runs=1)
    await sweeper.thin_out()
    assert await rows(store, "waits") == {"runs": 1, "journal": 1, "checkpoints": 1, "writes": 1, "checkpoint_order": 1}
    assert await rows(store, "foreign") == {"checkpoints": 3, "checkpoint_order": 3}
    assert sweeper.counters.removed_checkpoints == 12
    latest = await store.saver.aget_tuple({"configurable": {"thread_id": "waits", "checkpoint_ns": ""}})
    assert latest is not None
    assert latest.config["configurable"]["checkpoint_id"] == "4"
    assert latest.pending_writes is not None
    assert len(latest.pending_writes) == 1
    await sweeper.sweep()
    assert await left(store) == ["late", "waits"]
    await store.close()
    connection = apsw.Connection(str(path))
    assert connection.pragma("auto_vacuum") == 2
    connection.close()


@pytest.mark.requirement("DUR-8")
async def test_a_large_file_that_cannot_shrink_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(space, "CONVERTIBLE_BYTES", 3_000_000)
    caplog.set_level("INFO")
    path = tmp_path / "m.db"
    first_version(path, filler=8_000_000)
    store = await Store.open(path)
    assert "laid out to be reused but never to shrink" in caplog.text
    await store.set_meta("x", "small")
    commits = store.counters.commits
    await retention_of(store, ended_runs=2).sweep()
    assert store.counters.commits == commits
    await store.close()
    assert path.stat().st_size >= 8_000_000


def checkpoint(identifier: str) -> Any:
    return {**empty_checkpoint(), "id": identifier}


@pytest.mark.requirement("DUR-8")
async def test_the_log_stays_small_however_busy_readers_and_watchers_are(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db", history=False)
    await store.accept_run(new_run())
    ended = asyncio.Event()

    async def read() -> None:
        while not ended.is_set():
            await store.events("run", limit=500)

    async def watch() -> None:
        async for _ in store.watch("run"):
            pass

    history = store.saver.alist(None)
    busy = [asyncio.create_task(work()) for work in (read, read, read, watch, watch)]
    largest = 0
    for number in range(600):
        place: Any = {"configurable": {"thread_id": f"{number % 40}", "checkpoint_ns": ""}}
        large = {**empty_checkpoint(), "id": f"{number}", "channel_values": {"x": "x" * 60_000}}
        await store.saver.aput(place, large, {}, {})  # type: ignore[arg-type]
        if number == 300:
            await anext(history)  # an iteration that is left standing
        await store.commit("run", events=[NewEvent("Number")])
        largest = max(largest, (tmp_path / "m.db-wal").stat().st_size)
    ended.set()
    store.end_watches()
    await asyncio.gather(*busy)
    await store.close()
    assert largest < 24 * 2**20, "36 MB were written"


class _Watched(apsw.Connection):
    """Remembers how often it tried to begin the log anew."""

    tries = 0

    def wal_checkpoint(self, dbname: str | None = None, mode: int = apsw.SQLITE_CHECKPOINT_PASSIVE) -> tuple[int, int]:
        self.tries += mode == apsw.SQLITE_CHECKPOINT_RESTART
        return super().wal_checkpoint(dbname, mode)


@pytest.mark.requirement("DUR-8")
def test_a_log_that_a_reader_kept_is_begun_anew_soon_but_not_tried_at_every_commit(tmp_path: Path) -> None:
    writer, reader = (_Watched(str(tmp_path / "m.db")) for _ in range(2))
    writer.pragma("journal_mode", "wal")
    writer.execute("CREATE TABLE filler (bytes BLOB)")
    log_keeper.LogKeeper(writer, busy_milliseconds=0)

    def tries_after(commits: int) -> int:
        for _ in range(commits):
            writer.execute("INSERT INTO filler VALUES (zeroblob(20000))")  # some seven pages
        return writer.tries

    with reader:
        assert reader.execute("SELECT count(*) FROM filler").get == 0
        assert tries_after(commits=250) == 0
        assert tries_after(commits=120) >= 3
        assert tries_after(commits=1_500) <= 8
    tries = tries_after(commits=100)
    assert tries_after(commits=300) == tries
