"""Whether the resources of one set of manifests fit together: every name that is used exists and can do it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from milepost_crds import AgentWorkflow, ConfigMap, Manifest, ModelService, Step

Located = tuple[str, str]
"""Namespace and name."""

WRITING_ENGINES = ("llamaCpp", "openAI")
"""Engines that a modelRef may name, because they write text themselves."""


@dataclass(frozen=True)
class Catalogue:
    """What can be referred to, by namespace and name."""

    services: Mapping[Located, ModelService]
    config_maps: Mapping[Located, ConfigMap]

    @classmethod
    def of(cls, manifests: Sequence[Manifest]) -> "Catalogue":
        """The catalogue of these manifests."""
        services: dict[Located, ModelService] = {}
        config_maps: dict[Located, ConfigMap] = {}
        for manifest in manifests:
            key = (manifest.namespace, manifest.name)
            if isinstance(manifest.resource, ModelService):
                services[key] = manifest.resource
            elif isinstance(manifest.resource, ConfigMap):
                config_maps[key] = manifest.resource
        return cls(services, config_maps)

    def services_in(self, namespace: str) -> list[ModelService]:
        """The services of one namespace, by name."""
        return [service for (place, _), service in sorted(self.services.items()) if place == namespace]


def reference_problems(manifests: Sequence[Manifest], catalogue: Catalogue) -> list[str]:
    """One line for each thing that does not fit, `FILE: FIELD.PATH: what is wrong; allowed: ...`."""
    problems = list(_repeated_names(manifests))
    for manifest in manifests:
        resource = manifest.resource
        if isinstance(resource, AgentWorkflow):
            found = _workflow_problems(resource, catalogue, manifest.namespace)
        elif isinstance(resource, ModelService):
            found = _service_problems(resource, catalogue, manifest.namespace)
        else:
            continue
        problems.extend(f"{manifest.path}: {problem}" for problem in found)
    return problems


def _repeated_names(manifests: Sequence[Manifest]) -> Iterator[str]:
    first: dict[tuple[str, ...], Manifest] = {}
    for manifest in manifests:
        # Workflows and services share the names of processes, log files and child objects.
        key = (manifest.namespace, manifest.name) if manifest.kind != "ConfigMap" else ("ConfigMap", *_place(manifest))
        if key not in first:
            first[key] = manifest
        else:
            taken = f'"{manifest.name}" is already the {first[key].kind} in {first[key].path}'
            yield f"{manifest.path}: metadata.name: {taken}; allowed: every name once"


def _place(manifest: Manifest) -> Located:
    return manifest.namespace, manifest.name


def _workflow_problems(workflow: AgentWorkflow, catalogue: Catalogue, namespace: str) -> Iterator[str]:
    spec = workflow.spec
    services = {service.name: service for service in catalogue.services_in(namespace)}
    for index, step in enumerate(spec.steps):
        yield from _step_problems(step, f"spec.steps[{index}]", services)
    yield from _model_ref_problems(spec.arbitrator.model_ref.name, "spec.arbitrator.modelRef.name", services)
    default = spec.router.default_service
    if default is not None and default.name not in services:
        yield f"spec.router.defaultService.name: {_unknown('ModelService', default.name, services)}"


def _step_problems(step: Step, path: str, services: Mapping[str, ModelService]) -> Iterator[str]:
    if step.service_ref is not None:
        if step.service_ref.name not in services:
            yield f"{path}.serviceRef.name: {_unknown('ModelService', step.service_ref.name, services)}"
    elif step.capability is not None:
        offered = {tag: None for service in services.values() for tag in service.spec.capabilities}
        if step.capability not in offered:
            yield f"{path}.capability: {_no_service_offers(step.capability, offered)}"
    elif not services:
        yield f"{path}: has no ModelService to choose from; allowed: manifests with at least one ModelService"


def _no_service_offers(capability: str, offered: Mapping[str, None]) -> str:
    allowed = ", ".join(sorted(offered)) or "a capability of a ModelService in these manifests"
    return f'no ModelService offers "{capability}"; allowed: {allowed}'


def _service_problems(service: ModelService, catalogue: Catalogue, namespace: str) -> Iterator[str]:
    services = {found.name: found for found in catalogue.services_in(namespace)}
    rag, tools = service.spec.rag, service.spec.tools
    if rag is not None:
        yield from _model_ref_problems(rag.model_ref.name, "spec.rag.modelRef.name", services)
        documents = rag.documents.config_map
        if documents is not None and (namespace, documents.name) not in catalogue.config_maps:
            known = [name for place, name in sorted(catalogue.config_maps) if place == namespace]
            yield f"spec.rag.documents.configMap.name: {_unknown('ConfigMap', documents.name, known)}"
    if tools is not None:
        yield from _model_ref_problems(tools.model_ref.name, "spec.tools.modelRef.name", services)


def _model_ref_problems(name: str, path: str, services: Mapping[str, ModelService]) -> Iterator[str]:
    writing = [found.name for found in services.values() if found.spec.engine_name in WRITING_ENGINES]
    if name not in services:
        yield f"{path}: {_unknown('ModelService', name, writing)}"
    elif name not in writing:
        allowed = ", ".join(writing) or "a ModelService with the engine llamaCpp or openAI"
        engine = services[name].spec.engine_name
        yield f'{path}: "{name}" has the engine {engine}, which is no model; allowed: {allowed}'


def _unknown(kind: str, name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    names = list(known)
    allowed = get_close_matches(name, names, n=3) or names
    return f'no {kind} is named "{name}"; allowed: {", ".join(allowed) or f"a {kind} in these manifests"}'
