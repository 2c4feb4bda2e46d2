"""What pods, controllers and the API server say, as reasons with a remedy."""

from dataclasses import replace
from typing import Any

import pytest
from operator_cases import claim, condition, event, model, planned, pod, settled, workflow

from milepost_operator.observation import ObjectKey, Refusal
from milepost_operator.planning.failures import refusal_problem

DEPLOYMENT = ObjectKey("apps/v1", "Deployment", "writer")
CLAIM = ObjectKey("v1", "PersistentVolumeClaim", "data-review-0")
QUOTA = 'pods "writer-5d9c-x7k2p" is forbidden: exceeded quota: small, requested: cpu=2, used: cpu=1, limited: cpu=2'


def waiting(reason: str, message: str = "", /, **last: Any) -> dict[str, Any]:
    ended = {"lastState": {"terminated": last}} if last else {}
    return {"state": {"waiting": {"reason": reason, "message": message}}} | ended


def unscheduled(message: str) -> dict[str, Any]:
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
    return {"conditions": conditions, "containerStatuses": []}


REFUSED = "loading\nmilepost-model: spec.llamaCpp.source.url: is not read yet; allowed: package\n"
POD_CASES = [
    (pod(container=waiting("ImagePullBackOff")), "ImageNotAvailable", ['"milepost-model:1"', "images.model"]),
    (pod(container=waiting("ErrImagePull")), "ImageNotAvailable", ["kubectl describe pod writer-1"]),
    (pod(container=waiting("InvalidImageName")), "ImageNotAvailable", ["spec.imagePullSecrets"]),
    (
        pod(container=waiting("CreateContainerConfigError", 'secret "llm" not found')),
        "ContainerNotStarted",
        ['secret "llm" not found'],
    ),
    (
        pod(container=waiting("CrashLoopBackOff", exitCode=137, reason="OOMKilled")),
        "OutOfMemory",
        ["raise spec.resources.limits.memory"],
    ),
    (
        pod(container={"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}),
        "OutOfMemory",
        ["pod writer-1"],
    ),
    (
        pod(container=waiting("CrashLoopBackOff", exitCode=2, reason="Error", message=REFUSED)),
        "ProcessRefused",
        ["milepost-model: spec.llamaCpp.source.url: is not read yet; allowed: package"],
    ),
    (
        pod(container={"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 2, "message": REFUSED}}}),
        "ProcessRefused",
        ["spec.llamaCpp.source.url"],
    ),
    (
        pod(container=waiting("CrashLoopBackOff", exitCode=1, reason="Error", message="a\nValueError: b\n")),
        "CrashLooping",
        ["with exit code 1: ValueError: b", "kubectl logs --previous writer-1"],
    ),
    (pod(container=waiting("CrashLoopBackOff", exitCode=139)), "CrashLooping", ["by signal 11"]),
    (pod(container=waiting("CrashLoopBackOff", exitCode=2)), "CrashLooping", ["with exit code 2"]),
    (
        pod(**unscheduled("0/1 nodes are available: 1 Insufficient cpu.")),
        "Unschedulable",
        ["1 Insufficient cpu", "lower spec.resources.requests.cpu"],
    ),
    (pod(**unscheduled("1 Insufficient memory")), "Unschedulable", ["lower spec.resources.requests.memory"]),
    (pod(**unscheduled("1 node(s) had untolerated taint {gpu: }")), "Unschedulable", ["add spec.tolerations"]),
    (
        pod(**unscheduled("1 node(s) didn't match Pod's node affinity/selector")),
        "Unschedulable",
        ["change spec.nodeSelector or spec.affinity"],
    ),
    (pod(**unscheduled("1 node(s) didn't match pod anti-affinity rules")), "Unschedulable", ["change spec.affinity"]),
    (
        pod(**unscheduled("1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access")),
        "Unschedulable",
        ["wait until the pod that uses the volume is gone"],
    ),
]


@pytest.mark.requirement("OPR-5")
@pytest.mark.parametrize(("found", "reason", "parts"), POD_CASES)
def test_a_pod_that_is_not_ready_says_why_and_what_to_do(found: Any, reason: str, parts: list[str]) -> None:
    starting, observed = settled(model(), ready=0)
    status = planned(starting, replace(observed, pods=[found])).status
    degraded, ready = condition(status, "Degraded"), condition(status, "Ready")
    assert (degraded["status"], degraded["reason"], ready["reason"]) == ("True", reason, reason)
    assert not [part for part in parts if part not in degraded["message"]]


ID, OTHER_ID = "a1" * 32, "b2" * 32
LOGGED = (
    '{"time": "2026-11-23T12:00:0%d.000+00:00", "level": "ERROR", "message": "stopped", "exception": "T\\nOSError: no"}'
)
START = 'failed to start container "%s": not found'


@pytest.mark.requirement("OPR-5", "OPR-6")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (waiting("ErrImagePull", "pull access denied"), waiting("ImagePullBackOff", 'Back-off pulling image "x"')),
        (
            waiting("CrashLoopBackOff", "back-off 10s restarting", exitCode=1, message="ValueError: b"),
            waiting("CrashLoopBackOff", "back-off 5m0s restarting", exitCode=1, message="ValueError: b"),
        ),
        (
            waiting("CrashLoopBackOff", exitCode=1, message="ValueError: b"),
            {"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1, "message": "ValueError: b"}}},
        ),
        (
            waiting("CrashLoopBackOff", exitCode=1, message=LOGGED % 1),
            waiting("CrashLoopBackOff", exitCode=1, message=LOGGED % 2),
        ),
        (
            waiting("CrashLoopBackOff", exitCode=1, message="2026-11-23 12:00:01,123 died at 0x7f00aa12"),
            waiting("CrashLoopBackOff", exitCode=1, message="2026-11-23 12:09:59,456 died at 0x7f11bb34"),
        ),
        (
            waiting("RunContainerError", START % ID, exitCode=128, reason="StartError", message=START % ID),
            waiting("CrashLoopBackOff", "", exitCode=128, reason="StartError", message=START % OTHER_ID),
        ),
    ],
    ids=["pull", "pause", "restart", "log", "time", "start"],
)
def test_what_a_pod_says_at_each_attempt_is_one_status(one: Any, other: Any) -> None:
    starting, observed = settled(model(), ready=0)
    statuses = [planned(starting, replace(observed, pods=[pod(container=each)])).status for each in (one, other)]
    assert condition(statuses[0], "Degraded")["status"] == "True"
    assert statuses[0] == statuses[1]


@pytest.mark.requirement("OPR-5", "OPR-6")
@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (
            "Deployment",
            [QUOTA],
            [
                f"(combined from similar events): Error creating: {QUOTA}".replace("x7k2p", "b2z9q").replace(
                    "u=1", "u=2"
                )
            ],
        ),
        (
            "Pod",
            ['MountVolume.SetUp failed for volume "d" : configmap "papers" not found'],
            [
                'MountVolume.SetUp failed for volume "d" : configmap "papers" not found',
                "Unable to attach or mount volumes: unmounted volumes=[d]: timed out waiting for the condition",
            ],
        ),
        (
            "Pod",
            ["AttachVolume.Attach failed: read tcp 10.0.0.1:40001->10.0.0.2:443: reset"],
            ["AttachVolume.Attach failed: read tcp 10.0.0.1:51111->10.0.0.2:443: reset"],
        ),
    ],
    ids=["quota", "mount", "connection"],
)
def test_what_events_say_at_each_attempt_is_one_status(kind: str, one: list[str], other: list[str]) -> None:
    starting, observed = settled(model(), ready=0)
    found: Any = dict(observed.children[DEPLOYMENT])
    found["status"] = {"observedGeneration": 1}
    name, reason = ("writer", "FailedCreate") if kind == "Deployment" else ("writer-1", "FailedMount")
    stuck = replace(
        observed,
        children={**observed.children, DEPLOYMENT: found},
        pods=[pod(container=waiting("ContainerCreating"))] if kind == "Pod" else [],
    )
    statuses = [
        planned(starting, replace(stuck, events=[event(kind, name, reason, text) for text in texts])).status
        for texts in (one, other)
    ]
    assert condition(statuses[0], "Degraded")["status"] == "True"
    assert statuses[0] == statuses[1]


@pytest.mark.parametrize(
    "found",
    [
        pod(container=waiting("ContainerCreating")),
        pod(container=waiting("PodInitializing")),
        pod(container={"state": {"running": {}}}),
        pod(container={"ready": True, "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}),
        pod(**unscheduled("pod has unbound immediate PersistentVolumeClaims")),
        pod(container=waiting("ErrImagePull")) | {"metadata": {"name": "a", "deletionTimestamp": "now"}},
        pod(container=waiting("ErrImagePull"), phase="Failed"),
        pod(containerStatuses=[]),
    ],
)
def test_what_passes_by_itself_is_no_failure(found: Any) -> None:
    starting, observed = settled(model(), ready=0)
    status = planned(starting, replace(observed, pods=[found])).status
    assert condition(status, "Degraded")["status"] == "False"
    assert condition(status, "Progressing")["reason"] == "Starting"


@pytest.mark.requirement("OPR-5")
@pytest.mark.parametrize(("until", "stuck"), [("2026-11-23T11:58:30Z", True), ("2026-11-23T11:59:30Z", False)])
def test_a_pod_that_does_not_end_keeps_an_agent_from_coming_back(until: str, stuck: bool) -> None:
    agent, observed = settled(workflow(), ready=0)
    ending = pod("review-0") | {"metadata": {"name": "review-0", "deletionTimestamp": until}}
    degraded = condition(planned(agent, replace(observed, pods=[ending])).status, "Degraded")
    assert (degraded["reason"] == "PodNotEnding") is stuck
    assert not stuck or "kubectl delete pod review-0 --force" in degraded["message"]
    service, around_it = settled(model(), ready=0)
    others = condition(planned(service, replace(around_it, pods=[ending])).status, "Degraded")
    assert others["status"] == "False"  # a Deployment has made another one already


def test_the_newest_pod_speaks_first_and_nothing_is_said_twice() -> None:
    starting, observed = settled(model(replicas=3), ready=0)
    crashed = waiting("CrashLoopBackOff", exitCode=137, reason="OOMKilled")
    pods = [pod("a", container=waiting("ErrImagePull")), pod("b", container=crashed), pod("b", container=crashed)]
    degraded = condition(planned(starting, replace(observed, pods=pods)).status, "Degraded")
    assert degraded["reason"] == "OutOfMemory" and degraded["message"].count("pod b") == 1
    assert "kubectl describe pod a" in degraded["message"]


@pytest.mark.requirement("OPR-5")
def test_a_quota_that_keeps_pods_from_being_made_is_named() -> None:
    starting, observed = settled(model(), ready=0)
    found: Any = dict(observed.children[DEPLOYMENT])
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA}
    found["status"] = {"observedGeneration": 1, "conditions": [failure]}
    status = planned(starting, replace(observed, children={**observed.children, DEPLOYMENT: found})).status
    degraded = condition(status, "Degraded")
    assert degraded["reason"] == "QuotaExceeded" and "exceeded quota: small" in degraded["message"]
    assert "x7k2p" not in degraded["message"]  # the next attempt has another name
    agent, around_it = settled(workflow(), ready=0)
    told = [event("StatefulSet", "review", "FailedCreate", QUOTA)]
    assert condition(planned(agent, replace(around_it, events=told)).status, "Degraded")["reason"] == "QuotaExceeded"
    other = [event("StatefulSet", "review", "FailedCreate", 'pods "review-0" is forbidden: violates PodSecurity')]
    assert condition(planned(agent, replace(around_it, events=other)).status, "Degraded")["reason"] == "PodRejected"


@pytest.mark.requirement("OPR-5")
def test_a_volume_that_cannot_be_mounted_and_a_rollout_without_end_are_named() -> None:
    starting, observed = settled(model(), ready=0)
    mount = event("Pod", "writer-1", "FailedMount", 'MountVolume.SetUp failed: configmap "papers" not found')
    stuck = replace(observed, pods=[pod(container=waiting("ContainerCreating"))], events=[mount])
    degraded = condition(planned(starting, stuck).status, "Degraded")
    assert degraded["reason"] == "VolumeNotMounted" and 'configmap "papers" not found' in degraded["message"]
    found: Any = dict(observed.children[DEPLOYMENT])
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    found["status"] = {"observedGeneration": 1, "replicas": 1, "conditions": [late]}
    status = planned(starting, replace(observed, children={**observed.children, DEPLOYMENT: found})).status
    assert condition(status, "Degraded")["reason"] == "NotReadyInTime"


@pytest.mark.requirement("OPR-5")
def test_a_volume_that_cannot_be_made_says_so_in_the_newest_words() -> None:
    agent, observed = settled(workflow(), ready=0)
    events = [
        event("PersistentVolumeClaim", "data-review-0", "ProvisioningFailed", "first"),
        event("PersistentVolumeClaim", "data-review-0", "ProvisioningFailed", "no zone has room"),
        event("PersistentVolumeClaim", "data-other-0", "ProvisioningFailed", "of another"),
    ]
    pending = replace(observed, claims=[claim("data-review-0", phase="Pending")], events=events)
    store = condition(planned(agent, pending).status, "CheckpointStoreReady")
    assert store["reason"] == "VolumeNotBound"
    assert store["message"].startswith("data-review-0 has no volume: no zone has room; make one, or use")


@pytest.mark.requirement("OPR-5")
@pytest.mark.parametrize(
    ("key", "code", "message", "reason", "passes"),
    [
        (DEPLOYMENT, 403, 'deployments "writer" is forbidden: User "x" cannot patch', "Forbidden", False),
        (DEPLOYMENT, 403, QUOTA, "QuotaExceeded", False),
        (DEPLOYMENT, 422, "spec.selector: Invalid value: field is immutable", "ImmutableField", False),
        (
            DEPLOYMENT,
            422,
            "spec: Forbidden: updates to statefulset spec for fields other than",
            "ImmutableField",
            False,
        ),
        (DEPLOYMENT, 422, "spec.replicas: Invalid value", "Rejected", False),
        (DEPLOYMENT, 400, "unknown field", "Rejected", False),
        (DEPLOYMENT, 404, "the server could not find the requested resource", "Rejected", False),
        (DEPLOYMENT, 422, "Only one reference can have Controller set to true. Found", "NameConflict", False),
        (DEPLOYMENT, 409, 'Apply failed with 1 conflict: conflict with "kubectl"', "NameConflict", False),
        (DEPLOYMENT, 409, "the object has been modified", "Conflict", True),
        (DEPLOYMENT, 429, "too many requests", "ApiUnavailable", True),
        (DEPLOYMENT, 503, "etcd is gone", "ApiUnavailable", True),
        (DEPLOYMENT, 0, "connection refused", "ApiUnavailable", True),
        (CLAIM, 403, "the storageclass must support resize", "VolumeNotResizable", False),
        (CLAIM, 422, "field can not be less than status.capacity", "VolumeNotResizable", False),
    ],
)
def test_a_refused_write_is_the_users_to_mend_or_passes(
    key: ObjectKey, code: int, message: str, reason: str, passes: bool
) -> None:
    refusal = Refusal("apply", key, code, "", message)
    assert refusal_problem(refusal)[0].reason == reason
    assert f"apply of {key.kind} {key.name}" in refusal_problem(refusal)[0].message
    running, observed = settled(model())
    status = planned(running, replace(observed, refusals=[refusal])).status
    shown = condition(status, "Progressing" if passes else "Degraded")
    assert (shown["status"], shown["reason"]) == ("True", reason)
    assert condition(status, "Ready")["status"] == "True"
    assert condition(status, "Degraded")["status"] == ("False" if passes else "True")


@pytest.mark.requirement("OPR-5")
def test_a_child_that_someone_else_keeps_changing_is_named() -> None:
    running, observed = settled(model())
    degraded = condition(planned(running, replace(observed, contested=[DEPLOYMENT])).status, "Degraded")
    assert degraded["reason"] == "Contested" and degraded["message"].startswith("Deployment writer is changed back")
    assert "milepost.dev/paused" in degraded["message"]
