"""Decides what to do about one resource: from what is asked and what is there to what is applied and said.

Pure: the same input gives the same plan, and a plan that was carried out leaves nothing to do.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from milepost_crds import AgentWorkflow, Condition, ModelService
from milepost_operator.manifests import CHILD_KINDS, in_sync
from milepost_operator.names import ANNOTATION_PAUSED, selector_labels
from milepost_operator.observation import Defaults, Object, ObjectKey, Observed, Plan, Resource
from milepost_operator.planning.children import Children, children_of, client_service
from milepost_operator.planning.conditions import Aspect, Problem, conditions, seconds_since
from milepost_operator.planning.dependencies import Dependencies, dependencies_of, references_of
from milepost_operator.planning.failures import (
    claim_problems,
    contested_problem,
    ending_problems,
    mount_problems,
    pod_problems,
    refusal_problem,
    store_problems,
    workload_problems,
)
from milepost_operator.planning.memory import memory_problem
from milepost_operator.planning.rollout import Rollout, rollout_of, workload_key
from milepost_operator.planning.status import DEGRADED, PROGRESSING, READY, Findings, events_of, status_of
from milepost_operator.planning.supported import unsupported
from milepost_operator.planning.workload import role_of

__all__ = ["invalid_status", "plan", "references_of"]

MISSING_SECONDS = 15.0
"""Until something is looked for again that nobody tells of when it appears."""
SOONEST_SECONDS, LATEST_SECONDS = 10.0, 120.0
"""Bounds of the time until pods that are not ready are looked at again; in between, as long as they have been so."""

_APPLY_ORDER = {(kind.api_version, kind.kind): order for order, kind in enumerate(CHILD_KINDS)}


def plan(resource: Resource, observed: Observed, defaults: Defaults, now: datetime) -> Plan:
    """What to apply, prune and say about a resource, and when to look again."""
    if resource.metadata.deletion_timestamp is not None:
        return Plan(apply=(), prune=(), status=_as_stored(resource))
    rollout = rollout_of(resource, observed)
    dependencies = dependencies_of(resource, observed)
    barred = _barred(resource, observed)
    held = next(iter([*barred, *_missing_mounts(resource, dependencies)]), None)
    paused = resource.metadata.annotations.get(ANNOTATION_PAUSED) == "true"
    serving = rollout.serves and not dependencies.needed
    children = children_of(resource, observed, defaults, ready=serving)
    apply: list[Object] = []
    prune: list[ObjectKey] = []
    if held is not None and not paused:
        apply = _registry_entry(resource, observed, serving)
    elif not paused:
        apply, prune = [*children.objects, *children.expansions], _no_longer_wanted(observed, children)
    findings = Findings(
        rollout=rollout,
        outdated=any(_differs(each, observed) for each in apply if _key(each) == workload_key(resource)),
        paused=paused,
        held=held,
        failures=[
            *barred,
            *_failures(resource, observed, rollout, now),
            *children.problems,
            *_refused(observed, False),
        ],
        passing=_refused(observed, True),
        dependencies=dependencies.problems,
        needed=dependencies.needed,
        volumes=_volume_problems(resource, observed, rollout, now),
    )
    status = status_of(resource, observed, findings, now)
    return Plan(apply, prune, status, events_of(resource, status), _look_again(findings, dependencies, status, now))


def invalid_status(body: Object, error: str, now: datetime) -> Mapping[str, Any]:
    """The status of a stored object that the models refuse, as one of an older release may be."""
    generation = body.get("metadata", {}).get("generation", 0)
    problem = Problem("InvalidSpec", f"{error}; its children are left as they are")
    aspects = [
        Aspect.fails(READY, [problem]),
        Aspect.fails(PROGRESSING, [problem]),
        Aspect(DEGRADED, "True", problem.reason, problem.message),
    ]
    stored: Mapping[str, Any] = body.get("status") or {}
    made = conditions(aspects, _readable(stored.get("conditions")), generation=generation, now=now)
    return dict(stored) | {"observedGeneration": generation, "conditions": made}


def _readable(stored: Any) -> list[Condition]:
    found = []
    for condition in stored if isinstance(stored, list) else []:
        try:
            found.append(Condition.model_validate(condition))
        except ValidationError:
            continue
    return found


def _as_stored(resource: Resource) -> Mapping[str, Any]:
    if resource.status is None:
        return {}
    return resource.status.as_manifest()


def _barred(resource: Resource, observed: Observed) -> list[Problem]:
    """Why no pod of this resource may be started or replaced, each with what to change."""
    problems = [*_name_conflict(resource, observed), *unsupported(resource), *_changed_role(resource, observed)]
    if resource.spec.replicas > 0:
        memory = memory_problem(resource, observed)
        problems += [memory] if memory is not None else []
    return problems


def _name_conflict(resource: Resource, observed: Observed) -> list[Problem]:
    """Children of both kinds have the same names: the older resource keeps them, and of two alike the ModelService."""
    is_workflow = isinstance(resource, AgentWorkflow)
    other = observed.namesake or (observed.services.get(resource.name) if is_workflow else None)
    if other is None:
        return []
    made = (other["metadata"].get("creationTimestamp") or "", resource.metadata.creation_timestamp or "")
    if made[0] > made[1] or (made[0] == made[1] and not is_workflow):
        return []
    kind = "ModelService" if is_workflow else "AgentWorkflow"
    message = f'metadata.name: the {kind} "{resource.name}" had this name first; allowed: a name of its own'
    return [Problem("NameConflict", message)]


def _changed_role(resource: Resource, observed: Observed) -> list[Problem]:
    found = observed.children.get(workload_key(resource))
    selector = (found or {}).get("spec", {}).get("selector", {}).get("matchLabels")
    if selector in (None, selector_labels(resource.name, role_of(resource))):
        return []
    message = "spec: the engine cannot be changed to one of another kind; delete the resource and make it again"
    return [Problem("ImmutableField", message)]


def _missing_mounts(resource: Resource, dependencies: Dependencies) -> Sequence[Problem]:
    return dependencies.mounted if resource.spec.replicas > 0 else ()


def _registry_entry(resource: Resource, observed: Observed, serving: bool) -> list[Object]:
    """The Service of what runs on while nothing else is touched: agents must see whether it is ready."""
    if not isinstance(resource, ModelService) or ObjectKey("v1", "Service", resource.name) not in observed.children:
        return []
    return [client_service(resource, ready=serving)]


def _no_longer_wanted(observed: Observed, children: Children) -> list[ObjectKey]:
    wanted = {_key(each) for each in children.objects}
    left = [key for key in observed.children if key not in wanted]
    return sorted(left, key=lambda key: (-_APPLY_ORDER.get((key.api_version, key.kind), 0), key))


def _failures(resource: Resource, observed: Observed, rollout: Rollout, now: datetime) -> list[Problem]:
    if rollout.complete or rollout.wanted == 0:
        return []
    workload = observed.children.get(workload_key(resource))
    return [
        *(ending_problems(observed.pods, now) if isinstance(resource, AgentWorkflow) else []),
        *store_problems(observed.pods, observed.unwritable),
        *pod_problems(observed.pods, role_of(resource), observed.unwritable),
        *workload_problems(
            workload, observed.events, missing_pods=rollout.replicas < rollout.wanted or not rollout.ready
        ),
        *mount_problems(observed.pods, observed.events),
    ]


def _volume_problems(resource: Resource, observed: Observed, rollout: Rollout, now: datetime) -> list[Problem]:
    if isinstance(resource, AgentWorkflow):
        return claim_problems(observed.claims, observed.events, "spec.checkpoint.storage", now)
    if rollout.complete or rollout.wanted == 0:
        return []
    claims = [child for key, child in observed.children.items() if key.kind == "PersistentVolumeClaim"]
    return claim_problems(claims, observed.events, "spec.llamaCpp.cache", now)


def _refused(observed: Observed, passing: bool) -> list[Problem]:
    judged = [refusal_problem(refusal) for refusal in observed.refusals]
    refused = [problem for problem, passes in judged if passes == passing]
    return refused if passing else [*refused, *(contested_problem(key) for key in observed.contested)]


def _differs(desired: Object, observed: Observed) -> bool:
    found = observed.children.get(_key(desired))
    return found is None or not in_sync(desired, found)


def _key(content: Object) -> ObjectKey:
    return ObjectKey(content["apiVersion"], content["kind"], content["metadata"]["name"])


def _look_again(
    findings: Findings, dependencies: Dependencies, status: Mapping[str, Any], now: datetime
) -> float | None:
    if findings.paused:
        return None
    if dependencies.mounted or (findings.held is not None and findings.held.reason == "NameConflict"):
        return MISSING_SECONDS
    if findings.held is not None or findings.rollout.complete or not findings.rollout.exists:
        return None
    # Why a pod is not made or a volume not mounted is told by events alone, which are not watched.
    since = next(each["lastTransitionTime"] for each in status["conditions"] if each["type"] == READY)
    return min(max(seconds_since(since, now), SOONEST_SECONDS), LATEST_SECONDS)
