"""What goes wrong around the operator: it says so, it is patient, and it heals by itself."""

from __future__ import annotations

import json
import time

import pytest

from e2e_waiting import eventually
from operator_process import OperatorProcess
from operator_proxy import Fault
from operator_world import MARKS, World

OBSERVED_SECONDS = 6.0
HEALED_SECONDS = 45.0
READS = frozenset({"GET"})

pytestmark = MARKS


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
