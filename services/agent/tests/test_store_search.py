"""Runs that are looked for: by state, outcome and text, each found once and in order, in parts that are bounded."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from milepost_agent.store import ENDED, WAITING, NewMessage, Page, RunFilter, Store, search
from store_zygote import new_run

OLD = "0f3c9a52-7b1e-4c55-9a01-00000000abcd"
CORRELATION = "77777777-7b1e-4c55-9a01-00000000abcd"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "m.db")
    yield store
    await store.close()


def ids(page: Page) -> list[str]:
    return [run.run_id for run in page.runs]


async def everything(store: Store, wanted: RunFilter, limit: int) -> list[str]:
    found: list[str] = []
    before = None
    while True:
        page = await store.find_runs(wanted, limit=limit, before=before)
        found += ids(page)
        before = page.before
        if before is None:
            return found


@pytest.mark.requirement("AGT-1")
async def test_runs_are_found_by_outcome_and_state_in_pages(store: Store) -> None:
    for number in range(9):
        await store.accept_run(new_run(f"r{number}"))
    for number, outcome in ((1, "Failed"), (3, "Completed"), (4, "Failed"), (6, "Failed")):
        await store.commit(f"r{number}", update={"state": ENDED, "outcome": outcome})
    await store.commit("r5", update={"state": WAITING})
    assert ids(await store.find_runs(RunFilter(outcome="Failed"))) == ["r6", "r4", "r1"]
    assert ids(await store.find_runs(RunFilter((ENDED,), outcome="Completed"))) == ["r3"]
    assert ids(await store.find_runs(RunFilter((WAITING,), outcome="Failed"))) == []
    assert await everything(store, RunFilter(outcome="Failed"), 2) == ["r6", "r4", "r1"]
    assert await everything(store, RunFilter(), 4) == [f"r{number}" for number in range(8, -1, -1)]


@pytest.mark.requirement("AGT-1")
async def test_a_text_is_found_in_any_case_also_beyond_ascii_and_as_it_is_written(store: Store) -> None:
    prompts = [
        "Write a PARSER",
        "über Straßen",
        "ÜBER alles",
        "100% sure_thing",
        "100x sureXthing",
        r"a\b",
        "uber",
        "list[int] * 2?",
        "ä[*]",
    ]
    for number, prompt in enumerate(prompts):
        await store.accept_run(new_run(f"r{number}", prompt=prompt))
    for text, wanted in {
        "parser": ["r0"],
        "ÜbEr": ["r2", "r1"],
        "0% SURE_": ["r3"],
        r"\B": ["r5"],
        "[INT] * 2?": ["r7"],
        "[0": [],
        "*": ["r8", "r7"],
        "Ä[*": ["r8"],
        "Ä?": [],
        "STRASSE": [],
        "'; DROP TABLE runs; --": [],
    }.items():
        assert ids(await store.find_runs(RunFilter(text=text))) == wanted, text


@pytest.mark.requirement("AGT-1")
async def test_an_id_is_found_by_its_beginning_however_old_it_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PART", 2)
    monkeypatch.setattr("milepost_agent.store.contents.PARTS", 1)
    await store.accept_run(replace(new_run(OLD), correlation_id=CORRELATION))
    for number in range(9):
        await store.accept_run(new_run(f"r{number}", prompt=f"cites {OLD[:6]}"))
    for text in (OLD[:8], OLD[:9].upper(), OLD[:20], OLD, CORRELATION[:13]):
        assert ids(await store.find_runs(RunFilter(text=text), limit=1)) == [OLD], text
    assert await everything(store, RunFilter(text=OLD[:6]), 50) == [*(f"r{number}" for number in range(8, -1, -1)), OLD]
    assert ids(await store.find_runs(RunFilter((WAITING,), text=OLD))) == []


@pytest.mark.requirement("AGT-1")
@pytest.mark.parametrize("parts", [1, 100], ids=["one part a page", "parts until the page is full"])
async def test_a_search_in_parts_finds_each_run_once_and_ends(
    store: Store, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    monkeypatch.setattr(search, "PART", 3)
    monkeypatch.setattr("milepost_agent.store.contents.PARTS", parts)
    for number in range(20):
        await store.accept_run(new_run(f"r{number}", prompt="needle" if number % 7 == 0 else "hay"))
    assert await everything(store, RunFilter(text="needle"), 2) == ["r14", "r7", "r0"]
    assert await everything(store, RunFilter(text="hay"), 2) == [f"r{n}" for n in range(19, -1, -1) if n % 7]
    assert await everything(store, RunFilter(text="nowhere"), 2) == []
    first = await store.find_runs(RunFilter(text="needle"), limit=2)
    assert len(first.runs) == (0 if parts == 1 else 2)
    assert len((await store.find_runs(RunFilter(text="hay"), limit=4)).runs) == (3 if parts == 1 else 4)


@pytest.mark.requirement("AGT-1")
async def test_messages_of_all_runs_are_listed_newest_first(store: Store) -> None:
    for run in ("a", "b"):
        await store.accept_run(new_run(run))
    for number in range(5):
        await store.send_message("ab"[number % 2], NewMessage(f"m{number}", "user", "coder", str(number)))
    first = await store.newest_messages(limit=3)
    assert [(each.run_id, each.payload) for each in first] == [("a", "4"), ("b", "3"), ("a", "2")]
    rest = await store.newest_messages(limit=3, before=first[-1].sequence)
    assert [each.payload for each in rest] == ["1", "0"]


async def test_the_last_sequence_is_that_of_the_newest_event(store: Store) -> None:
    assert await store.last_sequence() == 0
    await store.accept_run(new_run())
    assert await store.last_sequence() == (await store.events())[-1].sequence


@pytest.mark.requirement("AGT-1")
async def test_the_disk_and_the_commits_are_timed(store: Store, tmp_path: Path) -> None:
    assert 0 < store.sync_seconds < 60
    assert not (tmp_path / ".sync").exists()
    counters = store.counters
    counters.commit_classes[:] = [0] * len(counters.commit_classes)
    assert counters.commit_quantile(0.95) == 0
    for seconds in [0.0007] * 90 + [0.007] * 10:
        counters.committed(1, seconds, 0)
    assert counters.commit_quantile(0.5) < 0.001
    assert counters.commit_quantile(0.95) == pytest.approx(0.0075)
    for _ in range(100):
        counters.committed(1, 99.0, 0)
    assert counters.commit_quantile(0.95) == 10.0
