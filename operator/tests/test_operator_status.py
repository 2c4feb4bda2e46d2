"""What is said about a resource: conditions with times, numbers, one event for each change, and when to look again."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from operator_cases import (
    NOW,
    WRITER_REF,
    around,
    carried_out,
    child,
    claim,
    condition,
    event,
    model,
    planned,
    pod,
    service_body,
    settled,
    with_spec,
    with_status,
    workflow,
)

from milepost_crds import AgentWorkflowStatus, ModelServiceStatus
from milepost_operator.observation import Description, ObjectKey, Observed, Refusal, Resource

CRASHED = {"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, "state": {"running": {}}}
DEPLOYMENT = ObjectKey("apps/v1", "Deployment", "writer")


def truths(status: Any) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}


@pytest.mark.requirement("CRD-6")
def test_every_condition_is_there_from_the_first_visit_in_one_order() -> None:
    assert list(truths(planned(model()).status)) == [
        "Ready",
        "Progressing",
        "Degraded",
        "ModelLoaded",
        "DependenciesResolved",
    ]
    assert list(truths(planned(workflow()).status)) == [
        "Ready",
        "Progressing",
        "Degraded",
        "CheckpointStoreReady",
        "DependenciesResolved",
    ]


@pytest.mark.requirement("CRD-6")
@pytest.mark.parametrize("resource", [model(), workflow(), model("t", tools={"builtIn": ["clock"]} | WRITER_REF)])
def test_a_status_is_one_that_the_schema_takes(resource: Resource) -> None:
    kind = AgentWorkflowStatus if resource.kind == "AgentWorkflow" else ModelServiceStatus
    for status in (planned(resource).status, planned(*settled(resource)).status):
        assert kind.model_validate(status).as_manifest().keys() <= status.keys()
        assert {name for name in status if name not in {field.alias for field in kind.model_fields.values()}} == set()
        assert all(each["observedGeneration"] == 1 for each in status["conditions"])


@pytest.mark.requirement("CRD-6")
def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    first = with_status(model(), planned(model()).status)
    later = NOW + timedelta(minutes=5)
    again = planned(first, around(first), now=later).status
    assert {each["lastTransitionTime"] for each in again["conditions"]} == {"2026-11-23T12:00:00Z"}
    running, observed = settled(model())
    moved = {
        each["type"]: each["lastTransitionTime"] for each in planned(first, observed, now=later).status["conditions"]
    }
    assert moved["Ready"] == moved["Progressing"] == moved["ModelLoaded"] == "2026-11-23T12:05:00Z"
    assert moved["Degraded"] == moved["DependenciesResolved"] == "2026-11-23T12:00:00Z"
    edited = with_spec(running, replicas=2)
    assert {each["observedGeneration"] for each in planned(edited, observed).status["conditions"]} == {2}


@pytest.mark.requirement("CRD-6")
def test_ready_needs_one_pod_of_a_service_and_every_pod_of_a_workflow() -> None:
    assert truths(planned(*settled(model(replicas=2), ready=1)).status)["Ready"] == ("True", "Serving")
    assert truths(planned(*settled(model(replicas=2), ready=0)).status)["Ready"] == ("False", "Starting")
    assert truths(planned(*settled(workflow(replicas=2), ready=1)).status)["Ready"] == ("False", "Starting")
    assert truths(planned(*settled(workflow(replicas=2))).status)["Ready"] == ("True", "Serving")


@pytest.mark.requirement("CRD-6")
def test_a_service_scaled_to_zero_is_not_ready_and_nothing_is_wrong_with_it() -> None:
    found = truths(planned(*settled(model(replicas=0))).status)
    assert found["Ready"] == found["ModelLoaded"] == ("False", "ScaledToZero")
    assert found["Degraded"] == ("False", "AsExpected")
    assert found["Progressing"] == ("False", "Complete")


@pytest.mark.requirement("CRD-6", "OPR-3")
def test_ready_needs_the_services_without_which_no_request_is_served() -> None:
    for resource in (workflow(), model("toolbox", tools={"builtIn": ["clock"]} | WRITER_REF)):
        running, observed = settled(resource)
        away = replace(observed, services={"writer": service_body("writer", ready=False)})
        done = planned(running, away)
        assert truths(done.status)["Ready"] == ("False", "ServiceNotReady")
        assert truths(done.status)["Progressing"] == ("False", "Complete")
        assert truths(done.status)["Degraded"] == ("False", "AsExpected")
        assert done.apply and (done.prune, done.requeue_after) == ([], None)
    assert "capabilities" not in done.status
    assert "milepost.dev/registry" not in child(done, "Service")["metadata"]["labels"]
    chosen = workflow(steps=[{"name": "a", "role": "a", "capability": "offered-by-a-service-of-the-user"}])
    assert truths(planned(*settled(chosen)).status)["Ready"] == ("True", "Serving")
    assert truths(planned(*settled(chosen)).status)["DependenciesResolved"] == ("False", "CapabilityNotOffered")


@pytest.mark.requirement("CRD-6", "OPR-2")
def test_the_old_pod_serves_while_the_new_one_comes() -> None:
    running, observed = settled(model())
    edited = with_spec(running, systemPrompt="Be brief.")
    begun = planned(edited, observed)
    assert truths(begun.status)["Ready"] == ("True", "Serving")
    assert truths(begun.status)["Progressing"] == ("True", "RollingOut")
    children = carried_out(edited, observed, begun).children
    surging: Any = dict(children[DEPLOYMENT])
    surging["status"] = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1, "readyReplicas": 1}
    broken = pod(container={"state": {"waiting": {"reason": "ErrImagePull"}}})
    during = planned(edited, replace(observed, children={**children, DEPLOYMENT: surging}, pods=[broken]))
    assert truths(during.status)["Ready"] == ("True", "Serving")
    assert truths(during.status)["Degraded"] == ("True", "ImageNotAvailable")
    assert truths(during.status)["Progressing"] == ("False", "ImageNotAvailable")


def test_a_rollout_that_its_controller_has_not_seen_is_not_complete() -> None:
    running, observed = settled(model())
    unseen: Any = dict(observed.children[DEPLOYMENT])
    unseen["metadata"] = unseen["metadata"] | {"generation": 2}
    done = planned(running, replace(observed, children={**observed.children, DEPLOYMENT: unseen}))
    assert truths(done.status)["Progressing"] == ("True", "RollingOut")


@pytest.mark.requirement("CRD-6")
def test_numbers_and_names_of_a_served_model_are_told_and_kept() -> None:
    told = Description("sha256:ab", 2048, 1, 2, weights_bytes=10, kv_bytes_per_token=20)
    running, observed = settled(model(replicas=2), description=told)
    status = planned(running, observed).status
    assert status["endpoint"] == "writer.team.svc:50052"
    assert (status["replicas"], status["readyReplicas"], status["observedGeneration"]) == (2, 2, 1)
    assert status["selector"].split(",")[1] == "app.kubernetes.io/instance=writer"
    assert status["model"] == {
        "digest": "sha256:ab",
        "contextTokens": 2048,
        "sequences": 1,
        "threads": 2,
        "weightsBytes": 10,
        "kvBytesPerToken": 20,
    }
    unasked = planned(running, replace(observed, description=None)).status
    assert unasked["model"] == status["model"]
    half_told = replace(told, weights_bytes=0, kv_bytes_per_token=0)
    assert planned(running, replace(observed, description=half_told)).status["model"] == status["model"]


@pytest.mark.requirement("CRD-6")
def test_a_workflow_lists_what_ready_services_offer_to_it() -> None:
    services = {
        "writer": service_body("writer"),
        "critic": service_body("critic", ready=False, capabilities=["coding", "review"]),
        "poet": service_body("poet", capabilities=["poetry"]),
    }
    found = planned(workflow(), around(workflow(), services=services)).status
    assert found["capabilities"] == ["coding", "general"] and found["endpoint"] == "review.team.svc:50051"
    anyone = workflow(steps=[{"name": "a", "role": "a"}])
    found = planned(anyone, around(anyone, services=services)).status
    assert found["capabilities"] == ["coding", "general", "poetry"]


ASKED_FOR = claim(
    "data-review-0",
    phase="Pending",
    created="2026-11-23T11:58:59Z",
    provisioner="volume.kubernetes.io/storage-provisioner",
)
NOT_ASKED_FOR = claim("data-review-0", phase="Pending", created="2026-11-23T11:58:59Z")
JUST_ASKED_FOR = claim(
    "data-review-0",
    phase="Pending",
    created="2026-11-23T11:59:01Z",
    provisioner="volume.kubernetes.io/storage-provisioner",
)
VOLUME_CASES = [
    ([ASKED_FOR], [], ("False", "VolumeNotBound")),
    ([NOT_ASKED_FOR], [], ("False", "WaitingForVolume")),
    ([JUST_ASKED_FOR], [], ("False", "WaitingForVolume")),
    ([], [], ("False", "WaitingForVolume")),
    ([claim("data-review-0")], [], ("True", "Bound")),
    ([claim("data-review-0", phase="Pending")], [], ("False", "WaitingForVolume")),
    (
        [claim("data-review-0", phase="Pending")],
        [event("PersistentVolumeClaim", "data-review-0", "WaitForFirstConsumer", "waiting for first consumer")],
        ("False", "WaitingForVolume"),
    ),
    (
        [claim("data-review-0", phase="Pending")],
        [event("PersistentVolumeClaim", "data-review-0", "ProvisioningFailed", "no such zone")],
        ("False", "VolumeNotBound"),
    ),
    ([claim("data-review-0", phase="Lost")], [], ("False", "VolumeLost")),
    ([claim("data-another-0")], [], ("False", "WaitingForVolume")),
]


@pytest.mark.requirement("OPR-5")
@pytest.mark.parametrize(("claims", "events", "wanted"), VOLUME_CASES)
def test_the_checkpoint_store_is_ready_when_every_volume_is_bound(claims: Any, events: Any, wanted: Any) -> None:
    running, observed = settled(workflow(), ready=0)
    status = planned(running, replace(observed, claims=claims, events=events)).status
    assert truths(status)["CheckpointStoreReady"] == wanted
    is_wrong = wanted[1] in {"VolumeNotBound", "VolumeLost"}
    assert truths(status)["Degraded"] == (("True", wanted[1]) if is_wrong else ("False", "AsExpected"))


def told(resource: Any, observed: Observed) -> list[tuple[str, str]]:
    return [(each.kind, each.reason) for each in planned(resource, observed).events]


@pytest.mark.requirement("OPR-5")
def test_an_event_tells_of_each_change_once() -> None:
    fresh = model()
    assert told(fresh, around(fresh)) == []
    before = with_status(fresh, planned(fresh).status)
    running, observed = settled(fresh)
    assert told(before, observed) == [("Normal", "Ready")]
    assert told(running, observed) == []
    failing = replace(settled(fresh, ready=0)[1], pods=[pod(container=CRASHED)])
    assert told(running, failing) == [("Warning", "OutOfMemory")]
    failed = with_status(running, planned(running, failing).status)
    assert told(failed, failing) == []
    assert told(failed, observed) == [("Normal", "Ready"), ("Normal", "Recovered")]
    stopped = with_spec(running, replicas=0)
    assert told(stopped, settled(stopped)[1]) == [("Normal", "ScaledToZero")]


@pytest.mark.requirement("OPR-5")
def test_a_failure_at_the_first_visit_is_told_and_what_is_not_so_yet_is_not() -> None:
    refused = workflow(checkpoint={"backend": "postgres"})
    assert told(refused, around(refused)) == [("Warning", "NotSupported")]
    assert told(workflow(), Observed()) == []
    running, observed = settled(workflow())
    lost = replace(observed, services={})
    assert told(running, lost) == [("Warning", "ServiceNotFound")]
    waiting = replace(observed, services={"writer": service_body("writer", ready=False)})
    assert told(running, waiting) == [("Normal", "ServiceNotReady")]
    missing = with_status(running, planned(running, lost).status)
    assert told(missing, observed) == [("Normal", "Ready"), ("Normal", "DependenciesResolved")]


@pytest.mark.requirement("OPR-5")
def test_pods_that_are_not_ready_are_looked_at_ever_more_rarely() -> None:
    starting, observed = settled(model(), ready=0)
    waits = [planned(starting, observed, now=NOW + timedelta(seconds=age)).requeue_after for age in (0, 30, 60, 3600)]
    assert waits == [10, 30, 60, 120]
    assert planned(model()).requeue_after is None
    assert planned(*settled(model())).requeue_after is None
    assert planned(*settled(model(replicas=0))).requeue_after is None


def test_a_message_is_never_longer_than_the_schema_takes() -> None:
    key = ObjectKey("apps/v1", "Deployment", "writer")
    refusals = [Refusal("apply", key, 403, "Forbidden", f"{number}: " + "no " * 300) for number in range(20)]
    running, observed = settled(model())
    message = condition(planned(running, replace(observed, refusals=refusals)).status, "Degraded")["message"]
    assert len(message) == 4096 and message.endswith("…")
