"""What goes wrong around the operator: it says so, it is patient, and it heals by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e_cluster import Cluster
from e2e_waiting import eventually
from milepost_operator.names import object_labels
from operator_process import START_SECONDS, OperatorProcess
from operator_proxy import Fault
from operator_world import World, world

OBSERVED_SECONDS = 6.0
HEALED_SECONDS = 45.0
READS = frozenset({"GET"})
EVERYTHING = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def operator(here: World) -> Iterator[OperatorProcess]:
    with here.operator() as process:
        process.wait_ready()
        yield process


@pytest.fixture
def alone(cluster: Cluster, tmp_path: Path) -> Iterator[World]:
    with world(cluster, tmp_path) as made:
        yield made


def test_an_api_server_that_is_down_at_the_start_is_waited_for(here: World) -> None:
    here.proxy.down()
    with here.operator() as process:
        eventually(
            "it says that it waits", lambda: process.messages("^Waiting: .*does not answer"), len, within=START_SECONDS
        )
        assert process.ask("healthz") == 200
        assert process.ask("readyz") == 503
        time.sleep(OBSERVED_SECONDS)
        assert len(process.messages("^Waiting")) <= 5
        here.proxy.up()
        process.wait_ready()
        assert not [line for line in process.lines() if "exception" in line]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Fault("^/apis/milepost.dev$", READS, 404, "NotFound"), "install the CustomResourceDefinitions"),
        (
            Fault(
                "^/apis/milepost.dev$",
                READS,
                200,
                body=json.dumps({"versions": [{"version": "v1beta1"}]}).encode(),
            ),
            "serves milepost.dev/v1beta1, and this operator needs milepost.dev/v1alpha1",
        ),
        (
            Fault(r"/poddisruptionbudgets\?", READS, 403, "Forbidden", 'cannot list resource "poddisruptionbudgets"'),
            'cannot list resource "poddisruptionbudgets"',
        ),
    ],
    ids=["no-definitions", "another-version", "may-not-list"],
)
def test_what_it_cannot_start_without_is_named_and_waited_for(
    answer: Fault, words: str, here: World, request: pytest.FixtureRequest
) -> None:
    with here.proxy.failing(answer):
        process = here.operator()
        # Ended even if it says something else: a second one at work would spoil what follows.
        request.addfinalizer(process.stop)
        process.start()
        eventually("it says what it misses", lambda: process.messages("^Waiting: "), len, within=START_SECONDS)
        assert words in process.messages("^Waiting: ")[0]
        assert process.ask("readyz") == 503
    process.wait_ready()
    assert process.stop() == 0


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


@pytest.mark.requirement("OPR-5")
def test_a_slow_api_server_slows_and_does_not_stop_it(here: World, operator: OperatorProcess) -> None:
    with here.proxy.failing(Fault("/namespaces/.*/(services|deployments|configmaps)/", delay=1.5)):
        here.service("slowly")
        here.wait("Deployment", "slowly", within=HEALED_SECONDS)
        assert operator.ask("healthz") == 200
    here.cluster.delete("ModelService", "slowly", here.namespace)


@pytest.mark.requirement("OPR-1", "OPR-5")
def test_what_is_deleted_while_watches_are_cut_comes_back(here: World, operator: OperatorProcess) -> None:
    here.service("cut")
    here.wait("Deployment", "cut")
    operator.wait_quiet()
    gone = json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}).encode()
    with here.proxy.failing(Fault("/(services|configmaps).*watch=true", READS, 200, body=gone)):
        here.proxy.cut_watches()
        here.cluster.delete("Service", "cut", here.namespace)
        here.cluster.delete("ConfigMap", "cut-service", here.namespace)
    here.wait("Service", "cut", within=2 * HEALED_SECONDS)
    here.wait("ConfigMap", "cut-service", within=2 * HEALED_SECONDS)
    here.cluster.delete("ModelService", "cut", here.namespace)


@pytest.mark.requirement("OPR-5")
def test_an_outage_in_the_middle_is_survived(here: World, operator: OperatorProcess) -> None:
    here.service("outage")
    here.wait("Deployment", "outage")
    operator.wait_quiet()
    logged = len(operator.lines())
    here.proxy.down()
    here.cluster.delete("Deployment", "outage", here.namespace)
    time.sleep(OBSERVED_SECONDS)
    assert operator.ask("healthz") == 200
    assert len(operator.lines()) - logged <= 10
    here.proxy.up()
    here.wait("Deployment", "outage", within=HEALED_SECONDS)
    assert not [line for line in operator.lines() if "exception" in line]
    here.cluster.delete("ModelService", "outage", here.namespace)


@pytest.mark.requirement("OPR-5")
def test_rights_that_are_missing_are_named_and_used_once_they_are_given(here: World, operator: OperatorProcess) -> None:
    here.grant(without=[("apps", "deployments")])
    try:
        since = time.monotonic()
        here.service("narrow")
        here.condition("ModelService", "narrow", "Degraded", "True", message="deployments")
        time.sleep(OBSERVED_SECONDS)
        assert here.proxy.writes(since, "/deployments/") <= 3
    finally:
        here.grant()
    here.wait("Deployment", "narrow", within=HEALED_SECONDS)
    here.cluster.delete("ModelService", "narrow", here.namespace)


@pytest.mark.requirement("OPR-5")
def test_an_exceeded_quota_is_named_and_a_raised_one_used(here: World, operator: OperatorProcess) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few"},
        "spec": {"hard": {"services": 0}},
    }
    here.cluster.apply(quota, here.namespace)
    eventually("the quota counts", lambda: here.get("ResourceQuota", "few").get("status", {}).get("used"), within=30)
    here.service("many")
    here.condition("ModelService", "many", "Degraded", "True", message="quota")
    here.cluster.delete("ResourceQuota", "few", here.namespace)
    here.wait("Service", "many", within=HEALED_SECONDS)
    here.cluster.delete("ModelService", "many", here.namespace)


@pytest.mark.requirement("OPR-5")
def test_a_volume_that_does_not_bind_is_named(here: World, operator: OperatorProcess) -> None:
    name = f"nobody-{here.namespace}"
    provisioner = {"provisioner": "nobody.example/none", "volumeBindingMode": "Immediate"}
    here.cluster.apply(
        {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}} | provisioner
    )
    try:
        here.workflow("unbound", checkpoint={"storage": {"className": name}})
        here.condition("AgentWorkflow", "unbound", "CheckpointStoreReady", "False", message="olume", within=60)
    finally:
        here.cluster.delete("StorageClass", name)
        here.cluster.delete("AgentWorkflow", "unbound", here.namespace)


@pytest.mark.requirement("OPR-5")
def test_an_image_that_cannot_be_had_is_named(here: World) -> None:
    with here.operator(MILEPOST_IMAGE_TOOLS="milepost-nowhere.example/none:0") as process:
        process.wait_ready()
        here.service("imageless", nodeSelector={})
        here.condition("ModelService", "imageless", "Degraded", "True", message="ImageNotAvailable", within=120)
    here.cluster.delete("ModelService", "imageless", here.namespace)


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
