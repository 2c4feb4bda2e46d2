"""Every test here needs helm; where it must be there, its absence is a failure."""

from __future__ import annotations

import os
import shutil

import pytest

from helm_chart import Chart

REQUIRED = "MILEPOST_REQUIRE"


@pytest.fixture(scope="session")
def chart() -> Chart:
    """The chart of this repository. MILEPOST_REQUIRE=helm turns the skip of a machine without helm into a failure."""
    if shutil.which("helm") is None:
        reason = "helm is not on the PATH, so the chart is not tested"
        if "helm" in os.environ.get(REQUIRED, "").split(","):
            pytest.fail(f"{reason}, and {REQUIRED} names it")
        pytest.skip(reason)
    return Chart()
