"""What is said about a resource: its conditions, its numbers, and the events when a condition changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from milepost_crds import AgentWorkflow, Condition, ModelService
from milepost_operator.names import claim_name, selector_labels, target
from milepost_operator.observation import Object, Observed, PlannedEvent, Resource
from milepost_operator.planning.conditions import Aspect, Problem, conditions, joined
from milepost_operator.planning.dependencies import offered_capabilities
from milepost_operator.planning.failures import STORE_UNWRITABLE
from milepost_operator.planning.memory import measured_size
from milepost_operator.planning.rollout import Rollout
from milepost_operator.planning.wording import line
from milepost_operator.planning.workload import role_of

READY = "Ready"
PROGRESSING = "Progressing"
DEGRADED = "Degraded"
MODEL_LOADED = "ModelLoaded"
DEPENDENCIES_RESOLVED = "DependenciesResolved"
CHECKPOINT_STORE_READY = "CheckpointStoreReady"

_ANNOUNCED = (READY, DEGRADED, DEPENDENCIES_RESOLVED, CHECKPOINT_STORE_READY)
_EXPECTED = {"ScaledToZero", "Starting", "WaitingForVolume", "ServiceNotReady"}
_CAPABILITY_LIMIT = 64
_TELLING_PODS = 3
"""Pods whose words a condition has."""
_SIZES = {"weightsBytes", "kvBytesPerToken"}


@dataclass(frozen=True)
class Findings:
    """All that is known about a resource when its status is written.

    `held` says why the pods are left as they are; `failures` is what a person must mend, `passing` what passes by
    itself, `dependencies` what is referred to and not there, `needed` those of them without which nothing is served,
    `volumes` what keeps claims from being bound.
    """

    rollout: Rollout
    outdated: bool
    paused: bool = False
    held: Problem | None = None
    failures: Sequence[Problem] = ()
    passing: Sequence[Problem] = ()
    dependencies: Sequence[Problem] = ()
    needed: Sequence[Problem] = ()
    volumes: Sequence[Problem] = ()

    @property
    def serving(self) -> bool:
        """Whether requests are served."""
        return self.rollout.serves and not self.needed


def status_of(resource: Resource, observed: Observed, findings: Findings, now: datetime) -> dict[str, Any]:
    """The whole status subresource."""
    generation = resource.metadata.generation or 0
    previous = resource.status.conditions if resource.status is not None else []
    aspects = _aspects(resource, observed, findings)
    rollout = findings.rollout
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": conditions(aspects, previous, generation=generation, now=now),
        "replicas": rollout.replicas,
        "readyReplicas": rollout.ready,
        "endpoint": target(resource.name, resource.metadata.namespace, role_of(resource)),
    }
    if isinstance(resource, AgentWorkflow):
        offered = offered_capabilities(resource, observed.services)[:_CAPABILITY_LIMIT]
        return status | ({"capabilities": offered} if offered else {})
    labels = selector_labels(resource.name, role_of(resource))
    status["selector"] = ",".join(f"{key}={value}" for key, value in labels.items())
    if findings.serving:
        status["capabilities"] = list(resource.spec.capabilities)
    return status | _model(resource, observed, findings)


def events_of(resource: Resource, status: dict[str, Any]) -> list[PlannedEvent]:
    """An event for each reason why a condition is not what it was; none for what is not so yet."""
    previous = {each.type: each for each in resource.status.conditions} if resource.status is not None else {}
    found = (_event(condition, previous.get(condition["type"])) for condition in status["conditions"])
    return list({(event.kind, event.reason): event for event in reversed([*filter(None, found)])}.values())[::-1]


def _event(condition: dict[str, Any], before: Condition | None) -> PlannedEvent | None:
    type_, status = condition["type"], condition["status"]
    if type_ not in _ANNOUNCED or (before is not None and before.status == status):
        return None
    good = status == ("False" if type_ == DEGRADED else "True")
    if before is None and (type_, status) not in {(READY, "True"), (DEGRADED, "True")}:
        return None
    text = condition.get("message") or f"{type_} is {status}"
    if type_ == DEGRADED and good:
        return PlannedEvent("Normal", "Recovered", "nothing is wrong any more")
    if good:
        return PlannedEvent("Normal", type_, text)
    kind = "Normal" if condition["reason"] in _EXPECTED else "Warning"
    return PlannedEvent(kind, condition["reason"], f"{type_} is {status}: {text}")


def _aspects(resource: Resource, observed: Observed, findings: Findings) -> list[Aspect]:
    aspects = [_ready(findings), _progressing(findings), _degraded(findings)]
    if isinstance(resource, AgentWorkflow):
        aspects.append(_checkpoint_store(resource, observed.claims, findings))
    else:
        aspects.append(_model_loaded(resource, observed, findings))
    return [*aspects, _dependencies(findings)]


def _ready(findings: Findings) -> Aspect:
    rollout = findings.rollout
    if findings.serving:
        return Aspect.holds(READY, "Serving", rollout.counted)
    if rollout.serves:
        return Aspect.fails(READY, findings.needed)
    if findings.held is not None:
        return Aspect.fails(READY, [findings.held])
    if rollout.wanted == 0:
        return Aspect(READY, "False", "ScaledToZero", "spec.replicas is 0; set it to 1 or more to start")
    problems = [*findings.failures, *findings.volumes, *findings.passing]
    if problems:
        return Aspect.fails(READY, problems)
    return Aspect(READY, "False", "Starting", rollout.counted)


def _progressing(findings: Findings) -> Aspect:
    rollout = findings.rollout
    if findings.paused:
        message = "the annotation milepost.dev/paused is set: the children are left alone; remove it to go on"
        return Aspect(PROGRESSING, "False", "Paused", message)
    if findings.held is not None:
        return Aspect.fails(PROGRESSING, [findings.held])
    if findings.passing:
        return Aspect.holds(PROGRESSING, findings.passing[0].reason, joined(findings.passing))
    stuck = [*findings.failures, *findings.volumes]
    if rollout.complete and not findings.outdated:
        return Aspect(PROGRESSING, "False", "Complete", rollout.counted)
    if stuck:
        return Aspect.fails(PROGRESSING, stuck)
    updated = 0 if findings.outdated else rollout.updated
    reason = "RollingOut" if rollout.serves else "Starting"
    return Aspect.holds(PROGRESSING, reason, f"{rollout.counted}, {updated} of the newest template")


def _degraded(findings: Findings) -> Aspect:
    problems = [*findings.failures, *findings.volumes]
    if not problems:
        return Aspect(DEGRADED, "False", "AsExpected")
    return Aspect(DEGRADED, "True", problems[0].reason, joined(problems))


def _dependencies(findings: Findings) -> Aspect:
    if findings.dependencies:
        return Aspect.fails(DEPENDENCIES_RESOLVED, findings.dependencies)
    return Aspect.holds(DEPENDENCIES_RESOLVED, "Resolved")


def _model_loaded(service: ModelService, observed: Observed, findings: Findings) -> Aspect:
    if service.spec.llama_cpp is None:
        return Aspect.holds(MODEL_LOADED, "NotNeeded", f"the engine {service.spec.engine_name} loads no weights")
    ready = _ready(findings)
    if ready.status == "True":
        return Aspect.holds(MODEL_LOADED, "Loaded")
    if ready.reason != "Starting":
        return Aspect(MODEL_LOADED, "False", ready.reason, ready.message)
    busy = [f"pod {pod}: {line(said)}" for pod, said in sorted(observed.starting.items())]
    if busy:
        return Aspect(MODEL_LOADED, "False", "Fetching", "; ".join(busy[:_TELLING_PODS]))
    return Aspect(MODEL_LOADED, "False", "Loading", ready.message)


def _checkpoint_store(workflow: AgentWorkflow, claims: Sequence[Object], findings: Findings) -> Aspect:
    if findings.volumes:
        return Aspect.fails(CHECKPOINT_STORE_READY, findings.volumes)
    unwritable = [problem for problem in findings.failures if problem.reason == STORE_UNWRITABLE]
    if unwritable:
        return Aspect.fails(CHECKPOINT_STORE_READY, unwritable)
    names = [claim_name(workflow.name, ordinal) for ordinal in range(workflow.spec.replicas)]
    bound = {claim["metadata"]["name"] for claim in claims if claim.get("status", {}).get("phase") == "Bound"}
    waiting = [name for name in names if name not in bound]
    if waiting:
        return Aspect(CHECKPOINT_STORE_READY, "False", "WaitingForVolume", f"not bound yet: {', '.join(waiting)}")
    counted = "the volume is bound" if len(names) == 1 else f"all {len(names)} volumes are bound"
    return Aspect.holds(CHECKPOINT_STORE_READY, "Bound", counted)


def _model(service: ModelService, observed: Observed, findings: Findings) -> dict[str, Any]:
    described = observed.description
    if service.spec.llama_cpp is None:
        return {}
    if not findings.rollout.serves or not _is_complete(findings):
        return _model_as_stored(service, observed)
    if described is None:
        stored = _model_as_stored(service, observed)
        return stored if _was_complete(service) else _sizes_of(stored)
    sizes = {"weightsBytes": described.weights_bytes, "kvBytesPerToken": described.kv_bytes_per_token}
    stored = _model_as_stored(service, observed).get("model", {})
    if not described.weights_bytes and stored.get("digest", described.digest) == described.digest:
        sizes = {name: stored.get(name, 0) for name in sizes}
    return {
        "model": {
            "digest": described.digest,
            "contextTokens": described.context_tokens,
            "sequences": described.sequences,
            "threads": described.threads,
        }
        | {name: count for name, count in sizes.items() if count}
    }


def _is_complete(findings: Findings) -> bool:
    return _progressing(findings).reason == "Complete"


def _was_complete(service: ModelService) -> bool:
    """Whether the stored status says so of this generation, so that its model is that of today's pods."""
    stored = service.status.conditions if service.status is not None else []
    generation = service.metadata.generation or 0
    return any(
        (each.type, each.reason, each.observed_generation) == (PROGRESSING, "Complete", generation) for each in stored
    )


def _sizes_of(stored: dict[str, Any]) -> dict[str, Any]:
    """What follows from the source alone; the rest was said by pods that are gone, and is asked for again."""
    model = {name: count for name, count in stored.get("model", {}).items() if name in _SIZES}
    return {"model": model} if model else {}


def _model_as_stored(service: ModelService, observed: Observed) -> dict[str, Any]:
    """What was said before; without its size, once that belongs to another model."""
    stored = service.status.model if service.status is not None else None
    if stored is None:
        return {}
    model = stored.model_dump(mode="json", by_alias=True, exclude_none=True)
    if measured_size(service, observed) is None:
        model = {name: value for name, value in model.items() if name not in _SIZES}
    return {"model": model} if model else {}
