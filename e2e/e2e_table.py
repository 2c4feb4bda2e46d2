"""The table of stories: a line for each sentence that was tried, with its time and result."""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "MILEPOST_E2E_TABLE"
"""Names the file for the table; `make e2e` does."""
FAILED = "FAILED"
TITLE = "title"


@dataclass
class Line:
    """One story, or one file of tests that are no stories."""

    title: str
    result: str
    seconds: float = 0.0
    tests: int = 1
    note: str = ""


def tell_title(item: pytest.Item) -> None:
    """Puts the title of the line that a test belongs to into its reports, which also come from other processes.

    A test with a docstring is a story; the others of a file are one line.
    """
    sentence = inspect.getdoc(getattr(item, "function", None)) or ""
    item.user_properties.append((TITLE, " ".join(sentence.split()) or item.path.name))


class Table:
    """A plugin of pytest: collects reports, and writes them after each, so that a run that is cut leaves them too."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: dict[str, Line] = {}
        self._write()

    @classmethod
    def asked_for(cls) -> Table:
        """One that writes where the environment says."""
        return cls(Path(os.environ[VARIABLE]) if VARIABLE in os.environ else None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest in the process that was started, also for what ran in a worker of it."""
        title = next((str(value) for name, value in report.user_properties if name == TITLE), report.nodeid)
        line = self._lines.setdefault(title, Line(title, "passed", tests=0))
        line.seconds += report.duration
        if report.when == "call" or (report.when == "setup" and not report.passed):
            line.tests += 1
        if report.failed:
            line.result = FAILED
        elif report.skipped and line.result == "passed" and line.tests <= 1:
            line.result = "skipped"
        if report.when == "teardown":
            notes = [str(value) for name, value in report.user_properties if name == "note"]
            line.note = "; ".join(dict.fromkeys([*filter(None, [line.note]), *notes]))
            self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps([asdict(line) for line in self._lines.values()], indent=1))


def rendered(lines: list[dict[str, Any]]) -> str:
    """The table as text, in the order in which the stories ran."""
    rows = [("result", "seconds", "story")]
    for line in lines:
        count = f" ({line['tests']} tests)" if line["tests"] > 1 else ""
        note = f"\n{'':19}{line['note']}" if line["note"] else ""
        rows.append((line["result"], f"{line['seconds']:.1f}", f"{line['title']}{count}{note}"))
    return "\n".join(f"{result:8} {seconds:>8}  {story}" for result, seconds, story in rows)


CAUSE = re.compile(
    r"^(E   |ERROR |FAILED |INTERNALERROR> |!!+ )?.*\b(\w*(Error|Warning|Exception|Interrupt)|Exit|no tests)\b"
)
SAID_CHARACTERS = 300


def judged(lines: Sequence[dict[str, Any]], status: int, said: str) -> list[dict[str, Any]]:
    """The lines, with one more for a failure of pytest itself that no line tells: collecting, ending, a crash.

    Args:
        lines: What was reported while pytest ran.
        status: Its exit code.
        said: The end of its output, for the cause.
    """
    if status == 0 or any(line["result"] == FAILED for line in lines):
        return list(lines)
    causes = [line.strip() for line in said.splitlines() if CAUSE.match(line)] or said.split("\n")[-1:]
    title = f"pytest itself ended with {status}, outside of every test"
    return [*lines, asdict(Line(title, FAILED, note=causes[-1][:SAID_CHARACTERS]))]


def summary(lines: Sequence[dict[str, Any]], seconds: float) -> str:
    """One line: how many passed and failed, and the names of those that failed."""
    results = [line["result"] for line in lines]
    skipped = f", {results.count('skipped')} skipped" if "skipped" in results else ""
    failed = [line["title"] for line in lines if line["result"] == FAILED]
    names = f": {'; '.join(failed)}" if failed else ""
    return f"e2e: {results.count('passed')} passed, {len(failed)} failed{skipped} ({seconds:.0f} s){names}"
