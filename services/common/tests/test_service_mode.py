"""The mode of a process: its own decision, that of its callers, and how long either lasts."""

import asyncio
from dataclasses import dataclass

import pytest

from milepost_service.errors import ConfigurationError
from milepost_service.settings import ProcessSettings
from milepost_service.telemetry.mode import Mode, ProcessMode


@dataclass
class Now:
    time: float = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.mark.requirement("OBS-1")
async def test_a_process_follows_the_longest_of_its_callers_and_then_itself() -> None:
    now = Now()
    mode = ProcessMode(now)
    mode.hear("debug;seconds=60")
    mode.hear("debug;seconds=20")
    now.time += 59
    assert (mode.mode, mode.header()) == ("debug", "debug;seconds=1")
    now.time += 1
    assert (mode.mode, mode.header()) == ("shipping", "")
    mode.decide("debug")
    now.time += 10**9
    assert (mode.mode, mode.header()) == ("debug", "debug;seconds=600")
    mode.close()


@pytest.mark.requirement("OBS-1")
@pytest.mark.parametrize("value", ["", "shipping", "DEBUG", "debug;", "debug;seconds=", "debug;seconds=-5", "debug 5"])
async def test_what_means_nothing_is_passed_over(value: str) -> None:
    mode = ProcessMode()
    mode.hear(value)
    mode.hear("debug;seconds=0")
    assert (mode.mode, mode.header()) == ("shipping", "")


@pytest.mark.requirement("OBS-1")
@pytest.mark.parametrize("value", ["debug", "debug;seconds=999999999", "debug;seconds=600"])
async def test_no_call_keeps_a_process_in_debug_for_more_than_ten_minutes(value: str) -> None:
    now = Now()
    mode = ProcessMode(now)
    mode.hear(value)
    now.time += 599
    assert mode.header() == "debug;seconds=1"
    now.time += 1
    assert mode.header() == ""
    mode.close()


@pytest.mark.requirement("OBS-1")
async def test_services_that_call_each_other_in_a_circle_do_not_keep_each_other_in_debug() -> None:
    now = Now()
    circle = [ProcessMode(now), ProcessMode(now)]
    circle[0].hear("debug;seconds=5")
    for _ in range(100):
        for caller, called in (circle, circle[::-1]):
            called.hear(caller.header())
        now.time += 0.1
    assert [each.header() for each in circle] == ["", ""]
    for each in circle:
        each.close()


@pytest.mark.requirement("OBS-1")
async def test_listeners_are_told_when_it_is_over_by_itself() -> None:
    mode = ProcessMode()
    told: list[Mode] = []
    over = asyncio.Event()

    def listen(now: Mode) -> None:
        told.append(now)
        if told == ["shipping", "debug", "shipping"]:
            over.set()

    end = mode.listen(listen)
    mode.decide("debug", 600)
    mode.decide("debug", 0.05)
    await asyncio.wait_for(over.wait(), 20)
    end()
    mode.decide("debug")
    assert told == ["shipping", "debug", "shipping"]
    mode.close()


@pytest.mark.requirement("OBS-1")
def test_the_environment_names_the_mode_of_any_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ProcessSettings.load().obs_mode is None
    monkeypatch.setenv("OBS_MODE", "debug")
    assert ProcessSettings.load().obs_mode == "debug"
    monkeypatch.setenv("MILEPOST_OBS_MODE", "shipping")
    assert ProcessSettings.load().obs_mode == "shipping"
    monkeypatch.setenv("MILEPOST_OBS_MODE", "")
    assert ProcessSettings.load().obs_mode is None
    monkeypatch.setenv("MILEPOST_OBS_MODE", "loud")
    with pytest.raises(ConfigurationError, match=r"^MILEPOST_OBS_MODE: .*'shipping' or 'debug'.*'loud'"):
        ProcessSettings.load()
