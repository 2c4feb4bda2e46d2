"""An API server that refuses what the operator writes: it says so, tries again with patience, and gets it done."""

from __future__ import annotations

import time

import pytest

from e2e_waiting import eventually
from operator_process import OperatorProcess
from operator_proxy import Fault
from operator_world import MARKS, World

OBSERVED_SECONDS = 6.0
HEALED_SECONDS = 45.0

pytestmark = MARKS


@pytest.mark.requirement("OPR-5")
@pytest.mark.parametrize(
    ("fault", "most"),
    [
        (Fault("/deployments/", status=409, reason="Conflict", message="object was modified"), 8),
        (Fault("/deployments/", status=422, reason="Invalid", message="spec.template: Invalid value"), 2),
        (Fault("/deployments/", status=429, reason="TooManyRequests", headers={"Retry-After": "3"}), 4),
        (Fault("/deployments/", status=500), 8),
        (Fault("/deployments/", status=503, reason="ServiceUnavailable", body=b"upstream connect error"), 8),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Fault) else "",
)
def test_a_refused_write_is_said_repeated_with_patience_and_done_in_the_end(
    fault: Fault, most: int, here: World, operator: OperatorProcess
) -> None:
    name = f"refused-{fault.status}"
    with here.proxy.failing(fault):
        since = time.monotonic()
        here.service(name)
        eventually("it is tried", lambda: here.proxy.writes(since, "/deployments/"), within=20)
        time.sleep(OBSERVED_SECONDS)
        assert here.proxy.writes(since, "/deployments/") <= most
        assert operator.messages("^Failed with ")
        wanted = ("Degraded", "True") if fault.status == 422 else ("Progressing", "True")
        here.condition("ModelService", name, *wanted, message="Deployment")
        assert here.find("Service", name) is not None
    here.wait("Deployment", name, within=HEALED_SECONDS)
    here.condition("ModelService", name, "Degraded", "False", within=HEALED_SECONDS)
    here.cluster.delete("ModelService", name, here.namespace)
