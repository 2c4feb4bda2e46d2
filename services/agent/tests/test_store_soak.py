"""The short form of `make soak`: with retention on, the file stops growing while runs go on."""

from pathlib import Path

import pytest

from soak import LIMIT, soak

RUNS = 1_500
KEPT = 50
AT_ONCE = 32


@pytest.mark.requirement("DUR-8")
async def test_the_file_stops_growing_while_runs_come_and_go(tmp_path: Path) -> None:
    soaked = await soak(tmp_path, RUNS, AT_ONCE, KEPT)
    assert soaked.growth <= LIMIT
    later = [size for size in soaked.sizes if size.runs > 0.3 * RUNS]
    assert max(size.ended for size in later) <= 6 * KEPT
    assert soaked.removed_runs >= RUNS - 7 * KEPT
    assert max(size.log for size in later) <= 32 * 2**20


async def test_without_retention_it_does_grow(tmp_path: Path) -> None:
    soaked = await soak(tmp_path, 300, AT_ONCE, kept=None)
    assert soaked.growth > LIMIT
