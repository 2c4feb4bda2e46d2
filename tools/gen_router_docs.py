"""Evaluates the router on its test set, and writes what was found into two pages and the diagram of one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from milepost_agent.evaluation.report import TITLES

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "services" / "agent" / "milepost_agent" / "router" / "data" / "test.jsonl"
PAGE = ROOT / "docs" / "workflows.md"
CARD = ROOT / "docs" / "router-model-card.md"
DIAGRAM = ROOT / "docs" / "images" / "router-reliability.svg"

MARKS = "<!-- Router: written by `make router-docs` -->", "<!-- /Router -->"


def evaluated(diagram: Path) -> dict[str, Any]:
    """What the command says of the test set; its diagram goes to the file."""
    command = [sys.executable, "-m", "milepost_cli", "router", "eval", "--data", str(DATA.relative_to(ROOT))]
    done = subprocess.run([*command, "--json", f"--diagram={diagram}"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def numbers(report: Mapping[str, Any]) -> dict[str, list[float]]:
    """The rows of the table: the router and its baselines, in the order of TITLES."""
    rows = {"router": report, **report["baselines"]}
    return {name: [row[column] for column in TITLES] for name, row in rows.items()}


def table(report: Mapping[str, Any]) -> str:
    """The rows as Markdown, between their marks."""
    head = f"| {report['queries']} queries | {' | '.join(TITLES.values())} |\n|---|{'---|' * len(TITLES)}"
    rows = [f"| {name} | {' | '.join(map(_shown, row))} |" for name, row in numbers(report).items()]
    return "\n".join([MARKS[0], head, *rows, MARKS[1]])


def numbers_in(page: str) -> dict[str, list[float]]:
    """The rows of the table in a page, as `numbers` gives them."""
    lines = page[page.index(MARKS[0]) : page.index(MARKS[1])].splitlines()[3:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: [float(value) for value in values] for name, *values in cells}


def _shown(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def main() -> int:
    written = table(evaluated(DIAGRAM))
    for file in (PAGE, CARD):
        page, count = re.subn(
            f"{MARKS[0]}.*?{MARKS[1]}", lambda _: written, file.read_text(encoding="utf-8"), flags=re.DOTALL
        )
        if count != 1:
            raise SystemExit(f"{file.relative_to(ROOT)}: the marks of the table are there {count} times, not once")
        file.write_text(page, encoding="utf-8")
    print(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
