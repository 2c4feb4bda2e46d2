"""The clock tells the time of the places that a text names."""

from datetime import UTC, datetime

import pytest

from milepost_tools.clock import Clock
from milepost_tools.errors import ToolError

CLOCK = Clock(now=lambda: datetime(2026, 1, 31, 23, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "zones"),
    [
        ("What time is it?", ["UTC"]),
        ("What time is it in Tokyo and in New York?", ["Asia/Tokyo", "America/New_York"]),
        ("the date in europe/berlin", ["Europe/Berlin"]),
        ("Tell me about Tokyo", []),
        ("a sentimental update", []),
    ],
)
def test_a_text_asks_for_the_time_of_places(text: str, zones: list[str]) -> None:
    assert [arguments["timezone"] for arguments in CLOCK.calls_for(text)] == zones


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", "2026-01-31 23:30:00+00:00 (Saturday, UTC)"),
        ("Asia/Tokyo", "2026-02-01 08:30:00+09:00 (Sunday, Asia/Tokyo)"),
    ],
)
async def test_the_time_is_told_with_its_zone(zone: str, expected: str) -> None:
    assert (await CLOCK.call({"timezone": zone}, "")).result == expected


async def test_an_unknown_zone_is_an_error_that_says_what_is_allowed() -> None:
    with pytest.raises(ToolError, match=r"no time zone Mars/Base; allowed: IANA names"):
        await CLOCK.call({"timezone": "Mars/Base"}, "")


async def test_the_real_clock_goes_with_the_systems() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    told = datetime.fromisoformat((await Clock().call({"timezone": "UTC"}, "")).result.partition(" (")[0])
    assert before <= told <= datetime.now(UTC)
