"""Small pure parts: back-off, percentile, and text that is shown."""

from __future__ import annotations

import pytest

from milepost_cli.backoff import Backoff
from milepost_cli.statistics import percentile
from milepost_cli.text import first_lines, milliseconds, one_line, printable, spaced


def test_backoff_doubles_to_its_limit_and_is_forgiven_after_a_healthy_while() -> None:
    backoff = Backoff()
    assert [backoff.after(0) for _ in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert backoff.after(29.9) == 10.0
    assert backoff.after(30) == 0.2


@pytest.mark.parametrize(
    ("values", "expected"), [([], 0.0), ([7.0], 7.0), ([3.0, 1.0, 2.0], 3.0), ([float(n) for n in range(1, 101)], 95.0)]
)
def test_percentile_is_a_measured_value(values: list[float], expected: float) -> None:
    assert percentile(values, 0.95) == expected


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b31m", "a\rb", "\x07", "\u202egnp", "\ud800"])
def test_nothing_that_steers_a_terminal_is_printable(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()


def test_text_is_shortened_with_an_ellipsis() -> None:
    assert one_line("a\n  b\tc") == "a b c"
    assert one_line("x" * 11, 10) == "x" * 9 + "…"
    assert first_lines("one\n\ntwo\nthree", 2) == ["one", "two", "…"]
    assert first_lines("one", 2) == ["one"]


def test_durations_and_names_read_as_people_say_them() -> None:
    assert [milliseconds(value) for value in (0.25, 12.4, 2100)] == ["0.2 ms", "12 ms", "2.1 s"]
    assert spaced("ReviewLimitReached") == "review limit reached"
