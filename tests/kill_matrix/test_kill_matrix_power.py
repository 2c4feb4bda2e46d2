"""A power cut finds what was synced, and of the rest nothing or some sectors."""

import random
from pathlib import Path

import apsw
import pytest

import matrix_power
from matrix_recorder import Entry, read_record, record_into


def write(offset: int, data: bytes, suffix: str = "") -> Entry:
    return Entry("write", suffix, offset, data, end=0)


def sync(end: int, suffix: str = "") -> Entry:
    return Entry("sync", suffix, 0, b"", end)


def test_only_what_was_synced_survives_a_cut() -> None:
    entries = [write(0, b"aaaa"), sync(10), write(2, b"bbbb"), sync(20), sync(30)]
    found = [cut for cut in matrix_power.cuts(entries) if cut.how == matrix_power.NOTHING]
    assert [(cut.end, cut.files[""]) for cut in found] == [(9, None), (19, bytearray(b"aaaa"))]


def test_some_of_what_was_not_synced_may_survive_in_whole_sectors() -> None:
    old, new = bytes(4096 * 4), b"x" * 4096 * 4
    entries = [write(0, old), sync(10), write(0, new), sync(20)]
    cut = [cut for cut in matrix_power.cuts(entries) if cut.how == matrix_power.SOME][1]
    content = cut.files[""]
    assert content is not None
    sectors = [bytes(content[at : at + 512]) for at in range(0, len(content), 512)]
    assert {b"x" * 512, bytes(512)} == set(sectors)


def test_a_deleted_file_may_be_there_after_a_cut() -> None:
    file = matrix_power._File(bytearray(b"log"), [Entry("delete", "-wal", 0, b"", 0)])
    assert file.after_cut(None) == bytearray(b"log")
    assert None in [file.after_cut(random.Random(seed)) for seed in range(8)]


@pytest.mark.parametrize(("synchronous", "survive"), [("full", True), ("normal", False)])
def test_a_commit_survives_only_with_synchronous_full(tmp_path: Path, synchronous: str, survive: bool) -> None:
    """The recorder sees what SQLite does: this is what the cuts of the matrix stand on."""
    record_into(tmp_path)
    try:
        connection = apsw.Connection(str(tmp_path / "milepost.db"))
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", synchronous)
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES ('kept')")
        last = list(read_record(tmp_path))[-1]
        connection.close()
    finally:
        apsw.set_default_vfs("unix")
    assert (last.suffix, last.operation == "sync") == ("-wal", survive)
