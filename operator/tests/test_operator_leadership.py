"""Which of several operators works."""

from datetime import UTC, datetime
from typing import Any

import pytest
from operator_clock import run_virtual
from operator_server import FakeCluster

from milepost_operator.cluster import POD
from milepost_operator.leadership import Leadership, leader

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ME = ("milepost", "me")


def operator(name: str, minute: int, namespaces: str = "", phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    env = [{"name": "MILEPOST_NAMESPACES", "value": namespaces}] if namespaces else []
    created = {"creationTimestamp": f"2026-11-23T11:{minute:02}:00Z"}
    return {
        "metadata": {"name": name, "namespace": "milepost"} | created | metadata,
        "spec": {"containers": [{"name": "milepost", "env": env}]},
        "status": {"phase": phase},
    }


@pytest.mark.parametrize(
    ("others", "scopes", "leads"),
    [
        ([], "", "me"),
        ([operator("older", 1)], "", "older"),
        ([operator("younger", 59)], "", "me"),
        ([operator("older", 1, phase="Pending")], "", "me"),
        ([operator("older", 1, phase="Succeeded")], "", "me"),
        ([operator("older", 1, deletionTimestamp="2026-11-23T12:00:20Z")], "", "older"),
        ([operator("lost", 1, deletionTimestamp="2026-11-23T11:59:00Z")], "", "me"),
        ([operator("elsewhere", 1, "team-b")], "team-a", "me"),
        ([operator("overlapping", 1, "team-b, team-a")], "team-a", "overlapping"),
        ([operator("everywhere", 1)], "team-a", "everywhere"),
        ([operator("narrow", 1, "team-b")], "", "narrow"),
        ([operator("z", 1), operator("a", 1)], "", "a"),
    ],
)
def test_the_oldest_running_one_of_those_that_overlap_leads(others: list[Any], scopes: str, leads: str) -> None:
    pods = [*others, operator("me", 30, scopes)]
    assert leader(pods, ME, frozenset(filter(None, scopes.split(","))), NOW) == ("milepost", leads)


def test_outside_a_pod_it_leads_without_asking() -> None:
    async def story() -> None:
        cluster = FakeCluster()
        leadership = Leadership(cluster, pod="", namespace="", namespaces=())
        await leadership.run()
        assert leadership.leading.is_set()
        assert cluster.reads == []

    run_virtual(story())


def test_a_standby_takes_over_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    async def story() -> None:
        cluster, changes = FakeCluster(), []
        leadership = Leadership(cluster, pod="me", namespace="milepost", namespaces=(), changed=changes.append)
        cluster.put(POD, operator("older", 1))
        cluster.put(POD, operator("me", 2))
        for _ in range(3):
            await leadership.look()
        assert not leadership.leading.is_set()
        cluster.objects.pop((POD, "milepost", "older"))
        await leadership.look()
        assert leadership.leading.is_set()
        assert changes == [False, True]

    run_virtual(story())
    assert [record.getMessage() for record in caplog.records] == [
        "Another operator milepost/older leads; standing by",
        "Took over from operator milepost/older",
    ]
