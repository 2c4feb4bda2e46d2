"""Several operators of one namespace: one leads, the next takes over; and an operator that is asked to end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e_cluster import Cluster
from e2e_waiting import eventually
from milepost_operator.names import object_labels
from operator_world import MARKS, World, world

OBSERVED_SECONDS = 6.0

pytestmark = MARKS


@pytest.fixture
def alone(cluster: Cluster, tmp_path: Path) -> Iterator[World]:
    with world(cluster, tmp_path) as made:
        yield made


@pytest.mark.requirement("OPR-5", "OPR-6")
def test_two_operators_at_once_agree(alone: World) -> None:
    with alone.operator() as first, alone.operator() as second:
        first.wait_ready()
        second.wait_ready()
        alone.service("shared")
        alone.workflow("shared-flow")
        alone.wait("Deployment", "shared")
        alone.wait("StatefulSet", "shared-flow")
        alone.proxy.wait_silent(OBSERVED_SECONDS, within=60)


def test_a_younger_operator_stands_by_and_takes_over(alone: World) -> None:
    for number in (0, 1):
        pod(alone, f"operator-{number}")
        time.sleep(1.1)  # creation times count whole seconds
    environment = {"MILEPOST_POD_NAMESPACE": alone.namespace, "MILEPOST_POD_NAME": "operator-1"}
    with alone.operator(**environment) as younger:
        younger.wait_ready()
        eventually("it says who leads", lambda: younger.messages(f"{alone.namespace}/operator-0 leads"), len, within=20)
        assert younger.metric("leader_election_master_status") == 0
        alone.service("later")
        time.sleep(3)
        assert alone.find("Deployment", "later") is None
        alone.cluster.delete("Pod", "operator-0", alone.namespace, grace=0)
        alone.wait("Deployment", "later", within=30)
        assert len(younger.messages("leads; standing by")) == 1
        assert younger.messages("^Took over from operator")
        assert younger.metric("leader_election_master_status") == 1
    alone.cluster.delete("ModelService", "later", alone.namespace)


def pod(here: World, name: str) -> None:
    """A pod as that of an operator; no node takes it, and its status says that it runs."""
    labels = object_labels("operator", "operator") | {"app.kubernetes.io/managed-by": "Helm"}
    container = {"name": "milepost", "image": "none", "env": [{"name": "MILEPOST_NAMESPACES", "value": here.namespace}]}
    spec = {"containers": [container], "schedulingGates": [{"name": "milepost.dev/never"}]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}
    here.cluster.apply(manifest, here.namespace)
    here.cluster.core.patch_namespaced_pod_status(name, here.namespace, {"status": {"phase": "Running"}})


def test_it_ends_in_order_when_asked(here: World) -> None:
    with here.operator() as process:
        process.wait_ready()
        for number in range(10):
            here.service(f"last-{number}")
        eventually("it works", lambda: here.find("ServiceAccount", "last-0"), within=20)
        assert process.stop() == 0
        assert process.messages("^Stopped$")
        assert not [line for line in process.lines() if "exception" in line]
