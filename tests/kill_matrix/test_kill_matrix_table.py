"""The committed table of the kill matrix: what it must hold, and which differences matter."""

from dataclasses import replace
from pathlib import Path

import pytest

import matrix_table
from matrix_points import ELSEWHERE
from matrix_table import Row
from milepost_agent.failpoints import FAILPOINTS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "durability.md"
ROW = Row("linear: SIGKILL", "store.queued", killed=40, resumed=40, lost=0, repeated=0, asked_again=3)


def test_every_failpoint_was_killed_at_and_nothing_was_lost_or_repeated() -> None:
    rows = matrix_table.committed(DOCUMENT)
    assert FAILPOINTS - ELSEWHERE - {row.failpoint for row in rows} == set()
    assert [row for row in rows if row.lost or row.repeated or row.resumed != row.killed] == []


def test_the_table_says_of_every_failpoint_what_is_on_disk_there() -> None:
    assert FAILPOINTS - ELSEWHERE - matrix_table.DURABLE.keys() == set()


def test_a_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    document = tmp_path / "durability.md"
    document.write_text(f"# Durability\n\nBefore.\n\n{matrix_table.BEGIN}\nold\n{matrix_table.END}\n\nAfter.\n")
    matrix_table.write(document, matrix_table.table([ROW], "40 kill points"))
    assert matrix_table.committed(document) == [ROW]
    text = document.read_text()
    assert "old" not in text
    assert text.startswith("# Durability\n\nBefore.\n\n<!--") and text.endswith("-->\n\nAfter.\n")


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([ROW], []),
        ([replace(ROW, killed=44, resumed=44, asked_again=5)], []),
        ([replace(ROW, killed=80, resumed=80)], ["80 passages, the document says 40"]),
        ([replace(ROW, lost=1)], ["was | linear"]),
        ([replace(ROW, resumed=39)], ["was | linear"]),
        ([ROW, replace(ROW, failpoint="run.accepted")], ["run.accepted: is new"]),
        ([], ["store.queued: was not found any more"]),
    ],
)
def test_only_what_matters_is_a_difference(found: list[Row], told: list[str]) -> None:
    differences = matrix_table.differences(found, [ROW])
    assert len(differences) == len(told)
    assert all(words in line for words, line in zip(told, differences, strict=True))


def test_what_cannot_be_done_on_this_machine_is_no_difference() -> None:
    assert matrix_table.differences([], [ROW], left_out=["linear: SIGKILL"]) == []
