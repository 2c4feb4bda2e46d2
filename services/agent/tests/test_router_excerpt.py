"""Of a long text the request is read, wherever it stands, and not what is pasted beside it."""

import re
from pathlib import Path

import numpy as np
import pytest

from milepost_agent.router import Router, default_model_file
from milepost_agent.router.errors import HeadsUnusableError
from milepost_agent.router.examples import fingerprint
from milepost_agent.router.excerpt import END_SEGMENTS, SEGMENT_CHARACTERS, WHOLE_CHARACTERS, excerpt, segments
from milepost_agent.router.request_likeness import RequestLikeness, committed_likeness

pytestmark = pytest.mark.requirement("RTR-4")

LOG = "\n".join(f"14:02:{second:02} kernel: usb 1-4: reset high-speed device number {second}" for second in range(40))
TABLE = "\n".join(f"| {row} | 2023-0{row % 9 + 1}-14 | {row * 37} | open |" for row in range(30))
REQUEST = "Can you tell me when the trouble began?"


@pytest.mark.parametrize("pasted", [LOG, TABLE], ids=["log", "table"])
@pytest.mark.parametrize(
    "text",
    [
        "{request}\n\n{pasted}",
        "{pasted}\n\n{request}",
        "Good morning,\n{request}\n{pasted}",
        "{pasted}\n{request}\nThanks a lot!",
    ],
    ids=["first", "last", "after a greeting", "before thanks"],
)
def test_the_request_is_read_and_the_paste_is_not(text: str, pasted: str) -> None:
    assert excerpt(text.format(request=REQUEST, pasted=pasted)) == REQUEST


def test_a_request_in_one_paragraph_with_its_paste_is_read() -> None:
    assert REQUEST in excerpt(f"{' '.join(LOG.split())}. {REQUEST}")


def test_both_ends_are_read_when_both_ask_alike() -> None:
    again = "Can you tell me when it ended?"
    assert excerpt(f"{REQUEST}\n{LOG}\n{again}") == f"{REQUEST} {again}"


def test_what_asks_at_an_end_comes_before_what_asks_in_the_middle() -> None:
    some, again = "\n".join(LOG.splitlines()[:9]), "Can you tell me when it ended?"
    assert excerpt(f"{some}\n{REQUEST}\n{some}\n{again}") == again


def test_a_short_text_is_read_as_it_is() -> None:
    text = f"Hello,\n{REQUEST}\n\n{LOG}"[:WHOLE_CHARACTERS]
    assert excerpt(text) == text


@pytest.mark.parametrize("text", [" " * 1000, "Thanks!\n" * 100, "\n" * 1_000_000], ids=["blank", "thanks", "lines"])
def test_a_long_text_that_says_nothing_is_empty(text: str) -> None:
    assert excerpt(text) == ""


def test_a_long_text_costs_no_more_than_its_ends() -> None:
    judged = []
    original = RequestLikeness.log_odds

    def count(self: RequestLikeness, line: str) -> float:
        judged.append(line)
        return original(self, line)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RequestLikeness, "log_odds", count)
        excerpt(f"{LOG}\n" * 10_000 + REQUEST)
    assert len(judged) == 2 * END_SEGMENTS
    assert max(map(len, judged)) <= SEGMENT_CHARACTERS


def test_segments_keep_every_word() -> None:
    text = f"One. Two? {'word ' * 200}\n\n  {REQUEST}\n{'x' * 500}"
    assert re.sub(r"\s", "", "".join(segments(text))) == re.sub(r"\s", "", text)
    assert max(map(len, segments(text))) <= SEGMENT_CHARACTERS


def test_the_committed_numbers_come_from_the_committed_examples() -> None:
    assert committed_likeness().trained_on == fingerprint(), "run: python -m milepost_agent.router.train"


def test_numbers_survive_their_file_and_others_are_refused(tmp_path: Path) -> None:
    committed_likeness().save(tmp_path / "again.npz")
    assert RequestLikeness.load(tmp_path / "again.npz").log_odds(REQUEST) == committed_likeness().log_odds(REQUEST)
    np.savez(tmp_path / "other.npz", weights=np.zeros(7), trained_on=np.array("x"))
    with pytest.raises(HeadsUnusableError, match="another version"):
        RequestLikeness.load(tmp_path / "other.npz")
    (tmp_path / "junk.npz").write_bytes(b"junk")
    with pytest.raises(HeadsUnusableError, match=r"junk\.npz cannot be read"):
        RequestLikeness.load(tmp_path / "junk.npz")


@pytest.mark.models
def test_numbers_that_cannot_be_read_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise HeadsUnusableError("requests.npz cannot be read: gone")

    monkeypatch.setattr("milepost_agent.router.router.committed_likeness", fail)
    assert Router.load(default_model_file()).fallback_reason == "embedding: requests.npz cannot be read: gone"
