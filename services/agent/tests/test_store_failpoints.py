"""Failpoints: known names only, armed by one variable, free when it is not set."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import milepost_agent
from milepost_agent.errors import FailpointReached, FailpointsInvalid
from milepost_agent.failpoints import FAILPOINTS, arm_failpoints, failpoint


@pytest.fixture(autouse=True)
def disarm() -> Iterator[None]:
    yield
    arm_failpoints("")


def test_every_name_in_the_code_is_registered_and_every_registered_name_is_in_the_code() -> None:
    package = Path(str(milepost_agent.__file__)).parent
    sources = [file.read_text() for file in package.rglob("*.py") if file.name != "failpoints.py"]
    used = {name for source in sources for name in re.findall(r"\bfailpoint\(\s*\"([^\"]+)\"", source)}
    assert used == FAILPOINTS


def test_an_action_is_done_at_its_passage_only() -> None:
    arm_failpoints("store.queued=raise@3; ledger.recorded=raise")
    failpoint("store.queued")
    failpoint("store.queued")
    with pytest.raises(FailpointReached, match=r"failpoint store\.queued was reached"):
        failpoint("store.queued")
    failpoint("store.queued")
    failpoint("store.before_commit")
    with pytest.raises(FailpointReached):
        failpoint("ledger.recorded")


def test_a_delay_delays() -> None:
    arm_failpoints("store.queued=delay(0.05)")
    started = time.monotonic()
    failpoint("store.queued")
    assert time.monotonic() - started >= 0.05


def test_the_variable_is_read_at_the_first_passage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milepost_agent.failpoints._armed", None)
    monkeypatch.setenv("MILEPOST_FAILPOINTS", "store.queued=raise")
    with pytest.raises(FailpointReached):
        failpoint("store.queued")


@pytest.mark.parametrize("text", ["store.nowhere=kill", "nonsense", "store.queued=explode", "store.queued=kill@0"])
def test_what_is_not_understood_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(FailpointsInvalid, match=r"^MILEPOST_FAILPOINTS: .*") as caught:
        arm_failpoints(text)
    assert "\n" not in str(caught.value)
