"""docs/kubernetes.md names every value of the chart and every reason that a condition can have."""

from __future__ import annotations

import json
import re

import pytest

from helm_chart import FOLDER, ROOT
from helm_values import described_paths

PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
SOURCES = ROOT / "operator" / "milepost_operator"
GOOD = {"Serving", "Complete", "AsExpected", "Resolved", "Bound", "Loaded", "NotNeeded"}
"""Reasons of conditions that are as they should be."""

pytestmark = pytest.mark.requirement("PKG-2")


def test_every_value_is_in_the_table() -> None:
    schema = json.loads((FOLDER / "values.schema.json").read_text())
    wanted = {path for path in described_paths(schema, schema) if path != "global"}
    wanted = {re.sub(r"^(images\.(operator|agent|model|rag|tools|gateway))\..*", r"\1", path) for path in wanted}
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([\w.]+)`", row.split("|")[1])}
    assert wanted - named == set()
    first = {path.split(".")[0] for path in wanted}
    assert {name for name in named if name.split(".")[0] in first} - wanted == set()


def test_every_reason_is_explained() -> None:
    text = "".join(path.read_text() for path in sorted(SOURCES.rglob("*.py")))
    made = set(
        re.findall(r'(?:Problem|Aspect(?:\.holds)?)\(\s*(?:\w+, )?(?:"(?:True|False)", )?"([A-Z][A-Za-z]+)"', text)
    )
    made -= {"True", "False"}
    assert {"OutOfMemory", "ScaledToZero", "MemoryTooSmall", "Serving"} <= made
    explained = set(re.findall(r"`([A-Z][A-Za-z]+)`", PAGE))
    assert made - GOOD - explained == set()


def test_the_page_tells_the_versions_that_the_chart_needs() -> None:
    needed = re.search(r'kubeVersion: ">=(\d+\.\d+)', (FOLDER / "Chart.yaml").read_text())
    assert needed and f"Kubernetes {needed[1]} or newer" in PAGE
