"""The table of stories: a line for each sentence that was tried, with its time and result."""

from __future__ import annotations

import inspect
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "MILEPOST_E2E_TABLE"
"""Names the file for the table; `make e2e` does."""


@dataclass
class Line:
    """One story, or one file of tests that are no stories."""

    title: str
    result: str
    seconds: float = 0.0
    tests: int = 1
    note: str = ""


class Table:
    """Collects reports; writes them to a file after each, so that a run that is cut leaves them too."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: dict[str, Line] = {}
        self._titles: dict[str, str] = {}

    @classmethod
    def asked_for(cls) -> Table:
        """One that writes where the environment says."""
        return cls(Path(os.environ[VARIABLE]) if VARIABLE in os.environ else None)

    def know(self, items: list[pytest.Item]) -> None:
        """A test with a docstring is a story; the others of a file are one line."""
        for item in items:
            sentence = inspect.getdoc(getattr(item, "function", None)) or ""
            self._titles[item.nodeid] = " ".join(sentence.split()) or item.path.name
        self._write()

    def add(self, report: pytest.TestReport) -> None:
        title = self._titles.get(report.nodeid, report.nodeid)
        line = self._lines.setdefault(title, Line(title, "passed", tests=0))
        line.seconds += report.duration
        if report.when == "call" or (report.when == "setup" and not report.passed):
            line.tests += 1
        if report.failed:
            line.result = "FAILED"
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
