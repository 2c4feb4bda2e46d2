"""The observability mode over restarts, with a clock of the test's own."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from milepost_agent.observability import Observability
from milepost_agent.store import Store


@dataclass
class Clock:
    time: float = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


async def test_mode_holds_over_a_restart_until_its_time_is_over(tmp_path: Path) -> None:
    clock = Clock()
    store = await Store.open(tmp_path / "milepost.db")
    first = Observability(store, "shipping", "INFO", clock)
    await first.start()
    assert (first.record.mode, logging.getLogger().level) == ("shipping", logging.INFO)
    await first.switch("debug", 300, "a person")
    assert logging.getLogger().level == logging.DEBUG
    first.stop()
    clock.time += 200
    second = Observability(store, "shipping", "INFO", clock)
    await second.start()
    assert (second.record.mode, second.record.until, second.record.cause) == ("debug", 1300.0, "a person")
    second.stop()
    clock.time += 200
    third = Observability(store, "shipping", "INFO", clock)
    await third.start()
    assert (third.record.mode, third.record.until) == ("shipping", None)
    assert logging.getLogger().level == logging.INFO
    await store.close()


async def test_mode_without_an_end_holds_until_it_is_switched(tmp_path: Path) -> None:
    clock = Clock()
    store = await Store.open(tmp_path / "milepost.db")
    await Observability(store, "shipping", "INFO", clock).switch("debug", None, "a person")
    clock.time += 10**9
    later = Observability(store, "shipping", "INFO", clock)
    await later.start()
    assert later.record.mode == "debug"
    await later.switch("shipping", 60, "a person")
    assert (later.record.mode, later.record.until) == ("shipping", None)
    await store.close()
