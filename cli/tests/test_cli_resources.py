"""What is read from objects of the API server, and the words for pods that do not run."""

from __future__ import annotations

from typing import Any

import pytest
from cli_fake_cluster import condition, container

from milepost_cli.backend import Readiness
from milepost_cli.cluster import resources
from milepost_cli.cluster.resources import OperatedService, Pod, Workflow, ready_text
from milepost_crds import API_VERSION, GROUP, AgentWorkflow
from milepost_operator import names


def pod(*containers: dict[str, Any], **fields: Any) -> Pod:
    status = {"phase": "Running", "containerStatuses": list(containers), **fields.pop("status", {})}
    return Pod.of({"metadata": {"name": "flow-0", "labels": {}, **fields}, "status": status})


def test_names_are_those_of_the_operator() -> None:
    assert resources.GROUP == GROUP
    assert f"/apis/{API_VERSION}" == resources.API
    assert {resources.LABEL_INSTANCE: "flow", resources.LABEL_COMPONENT: "agent"}.items() <= names.object_labels(
        "flow", "agent"
    ).items()
    assert (
        f"{names.LABEL_MANAGED_BY}={names.object_labels('flow', 'agent')[names.LABEL_MANAGED_BY]}" == resources.MANAGED
    )
    long = "f" * 60
    workflow = Workflow.of({"metadata": {"name": long, "namespace": "team"}, "spec": {"replicas": 2}})
    assert workflow.pods == [f"{names.child_name(long, limit=52)}-{ordinal}" for ordinal in range(2)]


@pytest.mark.parametrize(
    ("containers", "more", "words"),
    [
        ((), {"status": {"phase": "Pending"}}, "Pending, not ready"),
        (
            (),
            {
                "status": {
                    "phase": "Pending",
                    "conditions": [condition("PodScheduled", "False", "Unschedulable", "no node")],
                }
            },
            "Pending: Unschedulable: no node",
        ),
        (
            (container(waiting={"reason": "ImagePullBackOff", "message": 'Back-off pulling "x"'}),),
            {},
            'ImagePullBackOff: Back-off pulling "x"',
        ),
        ((container(waiting={}),), {}, "not started"),
        ((container(terminated={"reason": "OOMKilled", "exitCode": 137}),), {}, "OOMKilled"),
        (
            (
                {
                    **container(4, waiting={"reason": "CrashLoopBackOff", "message": "back-off 10s"}),
                    "lastState": {"terminated": {"message": "starting\nagent: the disk is full\n"}},
                },
            ),
            {},
            "CrashLoopBackOff: back-off 10s; it said last: agent: the disk is full",
        ),
        ((container(),), {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "it is being deleted"),
    ],
)
@pytest.mark.requirement("CLI-1")
def test_a_pod_that_is_not_ready_says_why(
    containers: tuple[dict[str, Any], ...], more: dict[str, Any], words: str
) -> None:
    found = pod(*containers, **more)
    assert found.trouble == words
    assert not found.ready


def test_a_pod_is_up_when_all_its_containers_run() -> None:
    assert pod(container()).up
    assert not pod(container(), container(waiting={})).up
    assert not pod().up
    assert pod(container(2), container(1)).restarts == 3


def test_the_port_is_the_one_named_grpc() -> None:
    ports = [{"name": "metrics", "containerPort": 9464}, {"name": "grpc", "containerPort": 50099}]
    assert Pod.of({"metadata": {"name": "x"}, "spec": {"containers": [{"ports": ports}]}}).port == 50099
    assert Pod.of({"metadata": {"name": "x"}}).port == 50051


def test_a_workflow_describes_itself_as_its_agent_would() -> None:
    stored: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "AgentWorkflow",
        "metadata": {"name": "flow"},
        "spec": {"pattern": "linear", "steps": [{"name": "answer", "role": "writer", "serviceRef": {"name": "big"}}]},
    }
    stored["spec"]["arbitrator"] = {"modelRef": {"name": "big"}}
    workflow = Workflow.of(stored | {"status": {"endpoint": "elsewhere:1"}})
    assert workflow.described.max_hops == AgentWorkflow.model_validate(stored).spec.hop_limit
    assert [step.service for step in workflow.described.steps] == ["big"]
    assert (workflow.endpoint, workflow.pods) == ("elsewhere:1", ["flow-0"])
    assert workflow.ready == Readiness("Unknown")


def test_a_service_is_shown_as_it_would_register() -> None:
    service = OperatedService.of({"metadata": {"name": "docs", "namespace": "team"}, "spec": {"capabilities": ["rag"]}})
    assert service.registered.target == "docs.team.svc:50052"
    assert service.registered.state == 0


def test_the_reason_of_a_condition_ends_a_sentence() -> None:
    assert ready_text(Readiness("False", "ServiceMissing", "there is\nno big.")) == "ServiceMissing: there is no big"
    assert "is it running?" in ready_text(Readiness("Unknown"))
