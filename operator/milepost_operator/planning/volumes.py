"""Volumes that exist and volumes that are asked for: what can be changed is changed, the rest is said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from milepost_crds import AgentWorkflow, ModelService, parse_quantity
from milepost_operator.manifests import ClaimTemplate, claim_expansion
from milepost_operator.names import cache_claim_name, claim_name, stateful_set_name
from milepost_operator.observation import Object, ObjectKey, Observed
from milepost_operator.planning.conditions import Problem
from milepost_operator.planning.model_files import downloads


@dataclass(frozen=True)
class Volumes:
    """What a resource asks of its volumes in the end."""

    claim: ClaimTemplate | None
    expansions: Sequence[Object] = ()
    problems: Sequence[Problem] = ()


def state_volumes(workflow: AgentWorkflow, observed: Observed, access_mode: str) -> Volumes:
    """The claim template of the StatefulSet, and the claims that have to grow.

    A claim template cannot be changed, so that an existing one is kept and the claims themselves are changed.
    """
    storage = workflow.spec.checkpoint.storage
    asked = ClaimTemplate(storage.size, access_mode, storage.class_name)
    key = ObjectKey("apps/v1", "StatefulSet", stateful_set_name(workflow.name))
    template = _claim_template(observed.children.get(key))
    names = [claim_name(workflow.name, ordinal) for ordinal in range(workflow.spec.replicas)]
    claims = [claim for claim in observed.claims if claim["metadata"]["name"] in names]
    found = {claim["metadata"]["name"]: ClaimTemplate.found_in(claim["spec"]) for claim in claims}
    if template is not None and not found:
        found = {"the StatefulSet": template}
    problems = [
        problem
        for name, has in sorted(found.items())
        for problem in _unchangeable("spec.checkpoint.storage", asked, has, name)
    ]
    smaller = [claim for claim in claims if _is_smaller(found[claim["metadata"]["name"]], asked)]
    expansions = [
        claim_expansion(claim["metadata"]["name"], workflow.metadata.namespace, asked.size) for claim in smaller
    ]
    return Volumes(template or asked, expansions, problems[:1])


def cache_volume(service: ModelService, observed: Observed) -> Volumes:
    """The claim that keeps the downloads of a service, if it has any."""
    engine = service.spec.llama_cpp
    if engine is None or not downloads(service):
        return Volumes(None)
    asked = ClaimTemplate(engine.cache.size, engine.cache.access_mode, engine.cache.class_name)
    name = cache_claim_name(service.name)
    existing = observed.children.get(ObjectKey("v1", "PersistentVolumeClaim", name))
    if existing is None:
        return Volumes(asked)
    has = ClaimTemplate.found_in(existing["spec"])
    problems = _unchangeable("spec.llamaCpp.cache", asked, has, name)
    size = asked.size if _is_smaller(has, asked) else has.size
    # The server fills in the default class, which may then not be taken back.
    return Volumes(ClaimTemplate(size, has.access_mode, has.class_name), (), problems)


def _claim_template(stateful_set: Object | None) -> ClaimTemplate | None:
    templates: Sequence[Mapping[str, Any]] = (stateful_set or {}).get("spec", {}).get("volumeClaimTemplates", [])
    return ClaimTemplate.found_in(templates[0]["spec"]) if templates else None


def _is_smaller(has: ClaimTemplate, asked: ClaimTemplate) -> bool:
    return parse_quantity(has.size) < parse_quantity(asked.size)


def _unchangeable(field: str, asked: ClaimTemplate, has: ClaimTemplate, name: str) -> list[Problem]:
    problems = []
    if asked.class_name is not None and has.class_name not in (None, asked.class_name):
        problems.append(
            f'{field}.className: "{asked.class_name}" is asked for, but {name} has "{has.class_name}", and the class '
            f'of a volume cannot be changed; allowed: "{has.class_name}", or another resource with a new volume'
        )
    if parse_quantity(asked.size) < parse_quantity(has.size):
        problems.append(
            f"{field}.size: {asked.size} is asked for, but {name} has {has.size}, and a volume cannot shrink; "
            f"allowed: {has.size} or more"
        )
    return [Problem("ImmutableField", message) for message in problems]
