"""The table's last line tells whether and what failed, also what no test was part of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from e2e_table import judged, summary

PASSED = {"title": "A story.", "result": "passed", "seconds": 1.0, "tests": 1, "note": ""}
FAILED = {**PASSED, "title": "Another story.", "result": "FAILED"}
AT_THE_END = """
def leak():
    raise ResourceWarning("unclosed socket")

def test_leaks(request):
    request.config.add_cleanup(leak)
"""


def of_pytest(folder: Path, content: str, *options: str) -> tuple[int, str]:
    """Exit code and output of a pytest of its own over one file."""
    (folder / "test_it.py").write_text(content)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-c",
        "/dev/null",
        "-W",
        "error",
        *options,
    ]
    done = subprocess.run(
        [*command, "test_it.py"], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )
    return done.returncode, done.stdout


@pytest.mark.requirement("PKG-4")
def test_the_last_line_counts_and_names() -> None:
    assert summary([PASSED, PASSED], 7.4) == "e2e: 2 passed, 0 failed (7 s)"
    skipped = {**PASSED, "result": "skipped"}
    assert summary([PASSED, FAILED, skipped], 7.4) == "e2e: 1 passed, 1 failed, 1 skipped (7 s): Another story."


@pytest.mark.requirement("PKG-4")
def test_what_failed_in_a_test_is_told_once() -> None:
    assert judged([PASSED], 0, "") == [PASSED]
    assert judged([PASSED, FAILED], 1, "ValueError: of the other") == [PASSED, FAILED]


@pytest.mark.requirement("PKG-4")
@pytest.mark.parametrize(
    ("content", "status", "cause"),
    [
        (AT_THE_END, 1, "unclosed socket"),
        ("import nothing_of_that_name", 2, "nothing_of_that_name"),
        ("import os\ndef test_dies():\n    os._exit(3)", 3, ""),
        ("", 5, "no tests ran"),
    ],
    ids=["at the end of the session", "while collecting", "in the middle", "nothing to run"],
)
def test_a_failure_outside_of_every_test_is_named(tmp_path: Path, content: str, status: int, cause: str) -> None:
    ended, said = of_pytest(tmp_path, content)
    assert ended == status, said
    *_, told = judged([PASSED], ended, said)
    assert told["result"] == "FAILED"
    assert cause in told["note"], said
    assert summary([PASSED, told], 1).endswith(
        f"1 failed (1 s): pytest itself ended with {status}, outside of every test"
    )
