"""How long the exporter rests after a piece of work."""

from types import SimpleNamespace

import pytest

from milepost_service.telemetry import pace
from milepost_service.telemetry.pace import LONGEST_REST, Pace, Shares

pytestmark = pytest.mark.requirement("OBS-5")
SHARES = Shares(busy=0.005, pressed=0.05, idle=0.25)


class Clock:
    """Stands in for `time`: one window passes, of which the thread and the rest of the process took their parts."""

    def __init__(self) -> None:
        self.now = self.own = self.others = 0.0

    def pass_window(self, own: float, others: float) -> None:
        self.now += 1.0
        self.own += own
        self.others += others


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    functions = {
        "monotonic": lambda: clock.now,
        "thread_time": lambda: clock.own,
        "process_time": lambda: clock.own + clock.others,
    }
    monkeypatch.setattr(pace, "time", SimpleNamespace(**functions))
    return clock


@pytest.mark.parametrize(
    ("others", "pressed", "share"),
    [(0.8, False, 0.004), (0.8, True, 0.04), (0.2, False, 0.001), (0.05, False, 0.25), (0.05, True, 0.25)],
)
def test_the_share_follows_what_else_the_process_does(clock: Clock, others: float, pressed: bool, share: float) -> None:
    """Own work of a millisecond is followed by a rest that makes it that share of one core."""
    measured = Pace(SHARES)
    clock.pass_window(0.001, others)
    assert measured.rest(pressed=pressed) == pytest.approx(0.001 / share)
    assert measured.rest(pressed=pressed) == 0.0


def test_a_rest_is_bounded(clock: Clock) -> None:
    """A long piece of work does not silence the exporter for minutes."""
    measured = Pace(SHARES)
    clock.pass_window(1.0, 0.9)
    assert measured.rest(pressed=False) == LONGEST_REST
