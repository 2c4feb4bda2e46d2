"""Every object that a resource becomes."""

from collections.abc import Sequence
from dataclasses import dataclass

from milepost_crds import AgentWorkflow, ModelService
from milepost_operator.manifests import (
    Owner,
    config_map,
    deployment,
    headless_service,
    pod_disruption_budget,
    pod_template,
    role,
    role_binding,
    service,
    service_account,
    stateful_set,
    volume_claim,
)
from milepost_operator.names import ANNOTATION_MODEL_HASH
from milepost_operator.observation import Defaults, Object, Observed, Resource
from milepost_operator.planning.conditions import Problem
from milepost_operator.planning.containers import config_hash, container_of, model_hash, planned_workload
from milepost_operator.planning.model_files import downloads, pod_labels
from milepost_operator.planning.registry import registry_annotations, registry_labels
from milepost_operator.planning.volumes import cache_volume, state_volumes
from milepost_operator.planning.workload import answers_http, role_of


@dataclass(frozen=True)
class Children:
    """The objects of a resource, claims to enlarge besides, and what of it cannot be had."""

    objects: Sequence[Object]
    expansions: Sequence[Object] = ()
    problems: Sequence[Problem] = ()


def children_of(resource: Resource, observed: Observed, defaults: Defaults, *, ready: bool) -> Children:
    """All children, in the order in which they are applied; `ready` says whether agents may find the service."""
    if isinstance(resource, AgentWorkflow):
        return _workflow_children(resource, observed, defaults)
    return _service_children(resource, observed, defaults, ready=ready)


def client_service(resource: ModelService, *, ready: bool) -> Object:
    """The Service under which a ModelService is called, which is its entry in the registry while it is ready."""
    owner = Owner.of(resource, role_of(resource))
    labels = registry_labels(resource, ready=ready)
    annotations = registry_annotations(resource)
    return service(owner, labels=labels, annotations=annotations, answers_http=answers_http(resource))


def _workflow_children(workflow: AgentWorkflow, observed: Observed, defaults: Defaults) -> Children:
    workload = planned_workload(workflow)
    owner = Owner.of(workflow, workload.role)
    container = container_of(workflow, workload, defaults)
    template = pod_template(
        owner, container, workflow.spec, config_hash=config_hash(workflow), labels=pod_labels(workflow)
    )
    volumes = state_volumes(workflow, observed, defaults.access_mode)
    assert volumes.claim is not None
    objects = (
        service_account(owner),
        role(owner),
        role_binding(owner),
        config_map(owner, workload.files),
        headless_service(owner),
        service(owner),
        pod_disruption_budget(owner),
        stateful_set(
            owner,
            replicas=workflow.spec.replicas,
            template=template,
            claim=volumes.claim,
            reclaim_policy=workflow.spec.checkpoint.reclaim_policy,
        ),
    )
    return Children(objects, volumes.expansions, volumes.problems)


def _service_children(model: ModelService, observed: Observed, defaults: Defaults, *, ready: bool) -> Children:
    workload = planned_workload(model)
    owner = Owner.of(model, workload.role)
    container = container_of(model, workload, defaults)
    template = pod_template(owner, container, model.spec, config_hash=config_hash(model), labels=pod_labels(model))
    volume = cache_volume(model, observed)
    marks = {ANNOTATION_MODEL_HASH: model_hash(model)} if model_hash(model) else {}
    objects = (
        service_account(owner),
        config_map(owner, workload.files),
        *([volume_claim(owner, volume.claim)] if volume.claim is not None else []),
        client_service(model, ready=ready),
        deployment(
            owner, replicas=model.spec.replicas, template=template, annotations=marks, downloads=downloads(model)
        ),
    )
    return Children(objects, (), volume.problems)
