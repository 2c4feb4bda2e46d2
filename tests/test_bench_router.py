"""`make bench-router`, with few answers: that it measures, not what."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "benchmarks" / "bench_router.py"


@pytest.mark.models
@pytest.mark.requirement("SPD-1")
def test_its_last_line_has_every_figure_and_its_generators_generate() -> None:
    command = [sys.executable, str(BENCH), "--answers", "4", "--services", "6", "--cold", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    *table, last = done.stdout.strip().splitlines()
    figures = json.loads(last)
    rows = {"idle", "generator", "both_busy", "6_services"}
    assert {*(f"p95_ms_{row}" for row in rows), "cold_ms", "rss_mb"} <= set(figures)
    assert all(figures[f"p95_ms_{row}"] > 0 for row in rows) and figures["rss_mb"] > 10
    beside = [line for line in table if "tokens/s" in line]
    assert [line.split("|")[1].strip() for line in beside] == ["one generator beside it", "two generators beside it"]
    assert not any("| 0 tokens/s" in line for line in beside)
