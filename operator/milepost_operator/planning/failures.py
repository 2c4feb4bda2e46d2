"""What pods, volumes and the API server say when something goes wrong, as problems with a remedy."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from milepost_operator.names import CONTAINER, Role
from milepost_operator.observation import Object, ObjectKey, Refusal
from milepost_operator.planning.conditions import Problem, seconds_since
from milepost_operator.planning.wording import last_line, line

_IMAGE_REASONS = {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_START_REASONS = {
    "ContainerCannotRun",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
}
_VAGUE_MOUNT = "Unable to attach or mount volumes"
"""Begins what the kubelet says in turn with what is really wrong."""
_SOMEONE_ELSES = ("Only one reference can have Controller set to true", "Apply failed with")
_REFUSED = 2
STORE_UNWRITABLE = "StoreUnwritable"
_FULL = ("disk is full", "No space left", "quota exceeded", "File too large")
UNBOUND_SECONDS = 60.0
"""After which a volume that nobody makes is more than slow."""
ENDING_SECONDS = 60.0
"""After the time by which a pod had to be gone."""

_UNSCHEDULABLE_REMEDIES = (
    ("Insufficient cpu", "lower spec.resources.requests.cpu, or add nodes"),
    ("Insufficient memory", "lower spec.resources.requests.memory, or add nodes"),
    ("ReadWriteOncePod", "wait until the pod that uses the volume is gone, or delete it"),
    ("topology spread", "change spec.topologySpreadConstraints, or add nodes"),
    ("anti-affinity", "change spec.affinity, or add nodes"),
    ("affinity/selector", "change spec.nodeSelector or spec.affinity, or label a node"),
    ("untolerated taint", "add spec.tolerations, or remove the taint"),
)


def is_leaving(pod: Object) -> bool:
    """Whether a pod is being deleted or has ended for good, so that what it says no longer matters."""
    return "deletionTimestamp" in pod["metadata"] or pod.get("status", {}).get("phase") in {"Failed", "Succeeded"}


def ending_problems(pods: Sequence[Object], now: datetime) -> list[Problem]:
    """Pods that should have ended and hold the place of the next one: Kubernetes cannot know that they are dead."""
    stuck = [
        pod["metadata"]["name"]
        for pod in pods
        if seconds_since(pod["metadata"].get("deletionTimestamp") or "", now) > ENDING_SECONDS
    ]
    return [
        Problem(
            "PodNotEnding",
            f"pod {name} was told to end and does not, perhaps because its node is away; once the node is surely off: "
            f"`kubectl delete pod {name} --force`",
        )
        for name in stuck
    ]


def store_problems(pods: Sequence[Object], unwritable: Mapping[str, str]) -> list[Problem]:
    """Agents that run and cannot write: they answer reads, and go on by themselves when their disk takes data."""
    said = [(pod["metadata"]["name"], unwritable.get(pod["metadata"]["name"])) for pod in pods if not is_leaving(pod)]
    return [Problem(STORE_UNWRITABLE, f"pod {name}: {line(text)}; {_disk_remedy(text)}") for name, text in said if text]


def _disk_remedy(text: str) -> str:
    if any(part in text for part in _FULL):
        return "enlarge spec.checkpoint.storage.size, or free space on the volume; the runs go on by themselves then"
    return "see to the volume (`kubectl describe pvc`, the log of its node); the runs go on by themselves then"


def pod_problems(pods: Sequence[Object], role: Role, unwritable: Mapping[str, str]) -> list[Problem]:
    """What keeps pods from being ready, each once, the newest pod first; not of those that say it themselves."""
    telling = [pod for pod in pods if not is_leaving(pod) and pod["metadata"]["name"] not in unwritable]
    found = (_pod_problem(pod, role) for pod in reversed(telling))
    return list(dict.fromkeys(problem for problem in found if problem is not None))


def _pod_problem(pod: Object, role: Role) -> Problem | None:
    status = pod.get("status", {})
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return _unschedulable(condition.get("message", ""))
    container = next((each for each in status.get("containerStatuses") or [] if each.get("name") == CONTAINER), None)
    if container is None or container.get("ready"):
        return None
    return _container_problem(pod["metadata"]["name"], container, role)


def _container_problem(pod: str, container: Mapping[str, Any], role: Role) -> Problem | None:
    waiting = container.get("state", {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _IMAGE_REASONS:
        # What the kubelet says alternates between the attempt and the pause after it.
        return Problem(
            "ImageNotAvailable",
            f'the image "{container.get("image", "")}" cannot be had (see `kubectl describe pod {pod}`); load it into '
            f"the nodes, name another by the chart's value images.{role}, or set spec.imagePullSecrets",
        )
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated") or {}
    # While it waits for the next attempt, only the last one tells that it never ran.
    unstarted = next((each for each in (ended, waiting) if each.get("reason") in _START_REASONS), None)
    if unstarted is not None:
        said = line(unstarted.get("message", "")) or unstarted["reason"]
        return Problem("ContainerNotStarted", f"the container of pod {pod} cannot be started: {said}")
    return _ended(pod, ended) if ended else None


def _ended(pod: str, ended: Mapping[str, Any]) -> Problem:
    code, said = ended.get("exitCode", 0), last_line(ended.get("message", ""))
    if ended.get("reason") == "OOMKilled":
        return Problem(
            "OutOfMemory",
            f"pod {pod} was ended because it used more memory than its limit; raise spec.resources.limits.memory",
        )
    if code == _REFUSED and said:
        return Problem("ProcessRefused", said)
    ended_how = f"by signal {code - 128}" if code > 128 else f"with exit code {code}"
    return Problem(
        "CrashLooping",
        f"pod {pod} ended {ended_how}{f': {said}' if said else ''}; see `kubectl logs --previous {pod}`",
    )


def _unschedulable(message: str) -> Problem | None:
    if "unbound immediate PersistentVolumeClaims" in message:
        return None  # the volume says itself what is wrong, if anything is
    remedy = next((text for part, text in _UNSCHEDULABLE_REMEDIES if part in message), "change the pods' requirements")
    return Problem("Unschedulable", f"no node can take the pod: {line(message)}; {remedy}")


def workload_problems(workload: Object | None, events: Sequence[Object], *, missing_pods: bool) -> list[Problem]:
    """What its controller says of a Deployment or StatefulSet that cannot make its pods."""
    if workload is None or not missing_pods:
        return []
    conditions = (workload.get("status") or {}).get("conditions") or []
    failed = next((each for each in conditions if each["type"] == "ReplicaFailure" and each["status"] == "True"), None)
    if failed is not None:
        return [_refused_pod(failed.get("message", ""))]
    message = newest_event(events, workload["kind"], workload["metadata"]["name"], {"FailedCreate"})
    if message:
        return [_refused_pod(message)]
    late = next((each for each in conditions if each.get("reason") == "ProgressDeadlineExceeded"), None)
    return [_late(workload)] if late is not None else []


def _refused_pod(message: str) -> Problem:
    if "exceeded quota" in message:
        return Problem("QuotaExceeded", f"{line(message)}; {_QUOTA_REMEDY}")
    return Problem("PodRejected", f"the API server takes no pod: {line(message)}")


def _late(workload: Object) -> Problem:
    name = workload["metadata"]["name"]
    return Problem("NotReadyInTime", f"no pod became ready for a long time; see `kubectl logs deployment/{name}`")


_QUOTA_REMEDY = "lower spec.resources or spec.replicas, or raise the ResourceQuota of the namespace"


def mount_problems(pods: Sequence[Object], events: Sequence[Object]) -> list[Problem]:
    """Volumes that cannot be mounted into pods that are waiting for them."""
    for pod in reversed(pods):
        if is_leaving(pod) or pod.get("status", {}).get("phase") != "Pending":
            continue
        message = newest_event(
            events, "Pod", pod["metadata"]["name"], {"FailedMount", "FailedAttachVolume"}, _VAGUE_MOUNT
        )
        if message:
            return [
                Problem("VolumeNotMounted", f"a volume of pod {pod['metadata']['name']} is missing: {line(message)}")
            ]
    return []


def claim_problems(claims: Sequence[Object], events: Sequence[Object], field: str, now: datetime) -> list[Problem]:
    """Volumes that cannot be made, or are not made for a long time; one that waits for its first pod is none."""
    found = (_claim_problem(claim, events, field, now) for claim in claims)
    return [problem for problem in found if problem is not None]


def _claim_problem(claim: Object, events: Sequence[Object], field: str, now: datetime) -> Problem | None:
    name, phase = claim["metadata"]["name"], claim.get("status", {}).get("phase")
    if phase == "Lost":
        message = f"{name} has lost its volume; restore the PersistentVolume, or delete the claim and its runs"
        return Problem("VolumeLost", message)
    if phase != "Pending":
        return None
    said = newest_event(events, "PersistentVolumeClaim", name, {"ProvisioningFailed", "FailedBinding"})
    if not said and _is_asked_for(claim) and seconds_since(_created(claim), now) > UNBOUND_SECONDS:
        said = f"nobody has made one for a minute; see `kubectl describe pvc {name}`"
    remedy = f"make one, or use a resource of another name with another {field}.className"
    return Problem("VolumeNotBound", f"{name} has no volume: {line(said)}; {remedy}") if said else None


def _is_asked_for(claim: Object) -> bool:
    """Whether its provisioner was told to go on: at once, or when its first pod had found a node."""
    return "volume.kubernetes.io/storage-provisioner" in (claim["metadata"].get("annotations") or {})


def _created(claim: Object) -> str:
    return str(claim["metadata"].get("creationTimestamp", ""))


def newest_event(events: Sequence[Object], kind: str, name: str, reasons: set[str], vague: str = "\0") -> str:
    """Text of the newest of these events about one object; one that begins with `vague` only for want of others."""
    texts = []
    for event in reversed(events):
        about = event.get("involvedObject") or event.get("regarding") or {}
        if about.get("kind") == kind and about.get("name") == name and event.get("reason") in reasons:
            texts.append(str(event.get("message") or event.get("note") or event["reason"]))
    return next((text for text in texts if not text.startswith(vague)), texts[0] if texts else "")


def refusal_problem(refusal: Refusal) -> tuple[Problem, bool]:
    """What a refused write means, and whether it passes by itself."""
    what = f"{refusal.verb} of {_named(refusal.key)}"
    code, said = refusal.code, line(refusal.message)
    if refusal.reason == "NameTaken":
        kind, name = refusal.key.kind, refusal.key.name
        message = f'the {kind} "{name}" exists and was not made for this resource, which needs one of that name; '
        return Problem("NameConflict", f"{message}rename one of them, or delete that {kind}"), False
    if code == 403 and "exceeded quota" in refusal.message:
        return Problem("QuotaExceeded", f"{what}: {said}; {_QUOTA_REMEDY}"), False
    if refusal.key.kind == "PersistentVolumeClaim" and code in {403, 422}:
        remedy = "set allowVolumeExpansion in its StorageClass, or use a resource of another name with a larger volume"
        return Problem("VolumeNotResizable", f"{what}: {said}; {remedy}"), False
    if code == 403:
        remedy = "grant the operator's role this verb, for example by upgrading the chart"
        return Problem("Forbidden", f"{what} is not allowed: {said}; {remedy}"), False
    if code == 422 and any(part in refusal.message for part in ("immutable", "Forbidden: updates to")):
        remedy = f"set it back, or delete the {refusal.key.kind} so that it is made again (its volumes stay)"
        return Problem("ImmutableField", f"{what}: {said}; {remedy}"), False
    if any(part in refusal.message for part in _SOMEONE_ELSES):
        return Problem("NameConflict", f"{what}: {said}; allowed: another metadata.name"), False
    if code == 409:
        return Problem("Conflict", f"{what}: {said}; it is tried again"), True
    if code == 0 or code == 429 or code >= 500:
        return Problem("ApiUnavailable", f"{what}: the API server says {code or 'nothing'}: {said}"), True
    return Problem("Rejected", f"{what}: {said}"), False


def contested_problem(key: ObjectKey) -> Problem:
    """Someone else keeps changing an object back."""
    return Problem(
        "Contested",
        f"{_named(key)} is changed back again and again by someone else; let that one leave it alone, or pause the "
        "resource with the annotation milepost.dev/paused",
    )


def _named(key: ObjectKey) -> str:
    return f"{key.kind} {key.name}"
