"""What a resource of a cluster refers to, and what is missing of it: which field, and what there is instead."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from typing import Any

from milepost_crds import AgentWorkflow, ModelService, SecretKeyRef, Step
from milepost_operator.names import stateful_set_name
from milepost_operator.observation import Object, ObjectKey, Observed, References, Resource
from milepost_operator.planning.conditions import Problem
from milepost_operator.planning.model_files import downloads
from milepost_operator.planning.references import WRITING_ENGINES
from milepost_operator.planning.workload import model_claim_of, model_ref_of, source_of

_SHOWN = 5


@dataclass(frozen=True)
class Dependencies:
    """What is not there. A pod cannot start without `mounted`; without `services` it starts and waits for them.

    Without `needed`, which is part of `services`, no request can be served, however ready the pods are.
    """

    services: Sequence[Problem]
    mounted: Sequence[Problem]
    needed: Sequence[Problem]

    @property
    def problems(self) -> Sequence[Problem]:
        """All of them, the ones that keep pods from starting first."""
        return (*self.mounted, *self.services)


def references_of(resource: Resource) -> References:
    """Everything in its namespace that the resource names."""
    if isinstance(resource, AgentWorkflow):
        return _workflow_references(resource)
    spec = resource.spec
    config_map = spec.rag.documents.config_map if spec.rag is not None else None
    model = model_ref_of(resource)
    return References(
        services=frozenset([model] if model is not None else []),
        config_maps=frozenset([config_map.name] if config_map is not None else []),
        secrets=frozenset((secret.name, secret.key) for _, secret in _secrets(resource)),
        claims=frozenset(name for _, name in _claims(resource)),
        storage_class=_cache_class(resource),
    )


def dependencies_of(resource: Resource, observed: Observed) -> Dependencies:
    """What the resource refers to and cannot have now."""
    if isinstance(resource, AgentWorkflow):
        services = _workflow_problems(resource, observed.services)
        mounted = chain(
            _claim_problems(resource, observed),
            _secret_problems(resource, observed),
            _workflow_class_problems(resource, observed),
        )
        needed = _workflow_needs(resource, observed.services)
        return Dependencies(_each_once(services), _each_once(mounted), _each_once(needed))
    writer = _each_once(_service_problems(resource, observed.services))
    return Dependencies(writer, _each_once(_mount_problems(resource, observed)), writer)


def offered_capabilities(workflow: AgentWorkflow, services: Mapping[str, Object]) -> list[str]:
    """Tags of the ready services that the workflow may use, sorted."""
    used = references_of(workflow)
    offered: set[str] = set()
    for name, service in services.items():
        tags = set(_capabilities(service))
        if is_ready(service) and (used.any_service or name in used.services or tags & used.capabilities):
            offered |= tags
    return sorted(offered)


def is_ready(service: Object) -> bool:
    """Whether a stored ModelService is Ready."""
    return _ready_condition(service).get("status") == "True"


def _workflow_references(workflow: AgentWorkflow) -> References:
    spec = workflow.spec
    named = {spec.arbitrator.model_ref.name} | {step.service_ref.name for step in spec.steps if step.service_ref}
    if spec.router.default_service is not None:
        named.add(spec.router.default_service.name)
    return References(
        services=frozenset(named),
        capabilities=frozenset(step.capability for step in spec.steps if step.capability is not None),
        secrets=frozenset((secret.name, secret.key) for _, secret in _secrets(workflow)),
        claims=frozenset(name for _, name in _claims(workflow)),
        storage_class=spec.checkpoint.storage.class_name,
        any_service=any(_is_open(step) for step in spec.steps),
    )


def _workflow_problems(workflow: AgentWorkflow, services: Mapping[str, Object]) -> Iterator[Problem]:
    spec = workflow.spec
    yield from _writer_problems("spec.arbitrator.modelRef.name", spec.arbitrator.model_ref.name, services)
    for index, step in enumerate(spec.steps):
        yield from _step_problems(f"spec.steps[{index}]", step, services)
    if spec.router.default_service is not None:
        yield from _named_problems("spec.router.defaultService.name", spec.router.default_service.name, services)


def _workflow_needs(workflow: AgentWorkflow, services: Mapping[str, Object]) -> Iterator[Problem]:
    # Who may offer a capability besides is not known here: a user's own Service can be in the registry, too.
    spec = workflow.spec
    yield from _writer_problems("spec.arbitrator.modelRef.name", spec.arbitrator.model_ref.name, services)
    for index, step in enumerate(spec.steps):
        if step.service_ref is not None and not step.optional:
            yield from _named_problems(f"spec.steps[{index}].serviceRef.name", step.service_ref.name, services)


def _is_open(step: Step) -> bool:
    return step.service_ref is None and step.capability is None


def _step_problems(field: str, step: Step, services: Mapping[str, Object]) -> Iterator[Problem]:
    if step.service_ref is not None:
        yield from _named_problems(f"{field}.serviceRef.name", step.service_ref.name, services)
        return
    able = {
        name: service
        for name, service in services.items()
        if step.capability is None or step.capability in _capabilities(service)
    }
    if not able and step.capability is not None:
        offered = sorted({tag for service in services.values() for tag in _capabilities(service)})
        message = f'{field}.capability: no ModelService offers "{step.capability}"'
        yield Problem(
            "CapabilityNotOffered",
            f"{message}; allowed: {_nearest(step.capability, offered, 'a capability of a ModelService')}",
        )
    elif not able:
        yield Problem("ServiceNotFound", f"{field}: has no ModelService to choose from; allowed: at least one")
    elif not step.optional and not any(is_ready(service) for service in able.values()):
        yield Problem("ServiceNotReady", f"{field}: {_none_ready(able)}")


def _service_problems(service: ModelService, services: Mapping[str, Object]) -> Iterator[Problem]:
    model = model_ref_of(service)
    if model is not None:
        engine = service.spec.engine_name
        yield from _writer_problems(f"spec.{engine}.modelRef.name", model, services)


def _mount_problems(service: ModelService, observed: Observed) -> Iterator[Problem]:
    spec = service.spec
    documents = spec.rag.documents.config_map if spec.rag is not None else None
    if documents is not None and documents.name not in observed.config_maps:
        message = f'spec.rag.documents.configMap.name: no ConfigMap is named "{documents.name}"'
        yield Problem(
            "ConfigMapNotFound", f"{message}; allowed: a ConfigMap of the namespace {service.metadata.namespace}"
        )
    yield from _secret_problems(service, observed)
    yield from _claim_problems(service, observed)
    yield from _class_problems("spec.llamaCpp.cache.className", _cache_class(service), observed)


def _claim_problems(resource: Resource, observed: Observed) -> Iterator[Problem]:
    for field, name in _claims(resource):
        if name not in observed.named_claims:
            message = f'{field}: no PersistentVolumeClaim is named "{name}"'
            yield Problem(
                "ClaimNotFound", f"{message}; allowed: a claim of the namespace {resource.metadata.namespace}"
            )


def _secret_problems(resource: Resource, observed: Observed) -> Iterator[Problem]:
    for field, secret in _secrets(resource):
        if (secret.name, secret.key) not in observed.secrets:
            message = f'{field}: no Secret is named "{secret.name}" and has the key "{secret.key}"'
            yield Problem(
                "SecretNotFound", f"{message}; allowed: a Secret of the namespace {resource.metadata.namespace}"
            )


def _cache_class(service: ModelService) -> str | None:
    engine = service.spec.llama_cpp
    return engine.cache.class_name if engine is not None and downloads(service) else None


def _workflow_class_problems(workflow: AgentWorkflow, observed: Observed) -> Iterator[Problem]:
    # A class that goes away later harms nobody who has a volume already.
    if ObjectKey("apps/v1", "StatefulSet", stateful_set_name(workflow.name)) not in observed.children:
        name = workflow.spec.checkpoint.storage.class_name
        yield from _class_problems("spec.checkpoint.storage.className", name, observed)


def _class_problems(field: str, name: str | None, observed: Observed) -> Iterator[Problem]:
    if name is not None and not observed.storage_class_exists:
        message = f'{field}: no StorageClass is named "{name}"; allowed: one that `kubectl get storageclass` shows'
        yield Problem("StorageClassNotFound", message)


def _claims(resource: Resource) -> Iterator[tuple[str, str]]:
    is_workflow = isinstance(resource, AgentWorkflow)
    model = model_claim_of(resource)
    if model is not None:
        field = "router.model" if is_workflow else "llamaCpp"
        yield f"spec.{field}.source.persistentVolumeClaim.claimName", model.claim_name
    rag = None if isinstance(resource, AgentWorkflow) else resource.spec.rag
    documents = rag.documents.persistent_volume_claim if rag is not None else None
    if documents is not None:
        yield "spec.rag.documents.persistentVolumeClaim.claimName", documents.claim_name


def _secrets(resource: Resource) -> Iterator[tuple[str, SecretKeyRef]]:
    is_workflow = isinstance(resource, AgentWorkflow)
    source = source_of(resource)
    if source is not None and source.secret_ref is not None:
        yield f"spec.{'router.model' if is_workflow else 'llamaCpp'}.source.secretRef", source.secret_ref
    remote = None if isinstance(resource, AgentWorkflow) else resource.spec.open_ai
    if remote is not None and remote.secret_ref is not None:
        yield "spec.openAI.secretRef", remote.secret_ref


def _writer_problems(field: str, name: str, services: Mapping[str, Object]) -> Iterator[Problem]:
    if name in services and _writes(services[name]):
        yield from _named_problems(field, name, services)
        return
    writing = sorted(found for found, service in services.items() if _writes(service))
    if name in services:
        engine = next((key for key in ("rag", "tools") if key in services[name].get("spec", {})), "another kind")
        allowed = _nearest(name, writing, "a ModelService with the engine llamaCpp or openAI")
        message = f'{field}: "{name}" has the engine {engine}, which is no model; allowed: {allowed}'
        yield Problem("ModelCannotWrite", message)
    else:
        yield from _named_problems(field, name, services, writing)


def _named_problems(
    field: str, name: str, services: Mapping[str, Object], allowed: Sequence[str] | None = None
) -> Iterator[Problem]:
    if name not in services:
        known = sorted(services) if allowed is None else allowed
        nearest = _nearest(name, known, "a ModelService of the same namespace")
        yield Problem("ServiceNotFound", f'{field}: no ModelService is named "{name}"; allowed: {nearest}')
    elif not is_ready(services[name]):
        yield Problem("ServiceNotReady", f"{field}: {_none_ready({name: services[name]})}")


def _none_ready(services: Mapping[str, Object]) -> str:
    waiting = [f"{name} ({_ready_condition(service).get('reason', 'Starting')})" for name, service in services.items()]
    return f"not ready: {', '.join(sorted(waiting)[:_SHOWN])}; its own conditions say why"


def _nearest(name: str, known: Sequence[str], otherwise: str) -> str:
    names = get_close_matches(name, known, n=3) or list(known[:_SHOWN])
    return ", ".join(names) or otherwise


def _capabilities(service: Object) -> Sequence[str]:
    found: Sequence[str] = service.get("spec", {}).get("capabilities") or []
    return found


def _writes(service: Object) -> bool:
    return any(engine in service.get("spec", {}) for engine in WRITING_ENGINES)


def _ready_condition(service: Object) -> Mapping[str, Any]:
    conditions: Sequence[Mapping[str, Any]] = (service.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition.get("type") == "Ready"), {})


def _each_once(problems: Iterator[Problem]) -> list[Problem]:
    """The same of several fields as one, with all of them in front."""
    fields: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        field, _, said = problem.message.partition(": ")
        fields.setdefault((problem.reason, said), []).append(field)
    return [Problem(reason, f"{', '.join(named)}: {said}") for (reason, said), named in fields.items()]
