"""Only whole characters and nothing of a stop text leaves the stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost_model.text_stream import TextStream


def test_half_a_character_waits_for_its_other_half() -> None:
    stream = TextStream()
    first, second = "é".encode()[:1], "é".encode()[1:]
    assert [stream.push(b"caf" + first), stream.push(second + b"s")] == ["caf", "és"]


def test_a_character_that_never_became_whole_is_dropped() -> None:
    stream = TextStream()
    assert stream.push("👍".encode()[:3]) + stream.finish() == ""


@pytest.mark.parametrize(
    ("pieces", "stop", "expected", "stopped"),
    [
        (["one ST", "OP two"], ["STOP"], "one ", True),
        (["one ST", "AY"], ["STOP"], "one STAY", False),
        (["a", "b", "c"], ["bc", "c"], "a", True),
        (["tail S"], ["STOP"], "tail S", False),
        (["baa"], ["a", "baa"], "b", True),
        (["b", "a", "a"], ["a", "baa"], "b", True),
    ],
)
def test_stop_texts(pieces: list[str], stop: list[str], expected: str, stopped: bool) -> None:
    stream = TextStream(stop)
    made = "".join(stream.push(piece.encode()) for piece in pieces) + stream.finish()
    assert (made, stream.stopped) == (expected, stopped)


@given(st.text(), st.integers(1, 5), st.lists(st.text("ab", min_size=1, max_size=3), max_size=3))
def test_however_bytes_are_split_the_text_is_the_same(text: str, step: int, stop: list[str]) -> None:
    data = text.encode()
    stream = TextStream(stop)
    made = "".join(stream.push(data[i : i + step]) for i in range(0, len(data), step)) + stream.finish()
    found = [(text.find(item) + len(item), text.find(item)) for item in stop if item in text]
    assert made == (text[: min(found)[1]] if found else text)
