"""What a resource names and cannot have: a reason, the field, and what there is instead."""

import re
from typing import Any

import pytest
from operator_cases import WRITER_REF, around, condition, model, planned, service_body, workflow

from milepost_operator.observation import Observed, Resource
from milepost_operator.planning.dependencies import dependencies_of

WRITER = {"writer": service_body("writer")}
STEP = {"name": "a", "role": "a"}
REMOTE = {"baseURL": "https://a.example.org", "model": "m", "secretRef": {"name": "llm", "key": "token"}}
VOLUME = {"persistentVolumeClaim": {"claimName": "shelf", "path": "a"}}
BY_URL = {"source": {"url": "https://a.example.org/b", "sha256": "0" * 64}, "cache": {"className": "fast"}}
FAST = {"storage": {"className": "fast"}}

CASES: list[tuple[Resource, dict[str, Any], str, str]] = [
    (
        workflow(arbitrator={"modelRef": {"name": "writr"}}),
        {"services": WRITER},
        "ServiceNotFound",
        'spec.arbitrator.modelRef.name: no ModelService is named "writr"; allowed: writer',
    ),
    (
        workflow(),
        {"services": {"writer": service_body("writer", ready=False, reason="ImageNotAvailable")}},
        "ServiceNotReady",
        "spec.arbitrator.modelRef.name, spec.steps[0]: not ready: writer (ImageNotAvailable); its own conditions say "
        "why",
    ),
    (
        workflow(arbitrator={"modelRef": {"name": "books"}}),
        {"services": WRITER | {"books": {"metadata": {"name": "books"}, "spec": {"rag": {}}}}},
        "ModelCannotWrite",
        'spec.arbitrator.modelRef.name: "books" has the engine rag, which is no model; allowed: writer',
    ),
    (
        workflow(steps=[STEP | {"serviceRef": {"name": "nobody"}}]),
        {"services": WRITER},
        "ServiceNotFound",
        'spec.steps[0].serviceRef.name: no ModelService is named "nobody"; allowed: writer',
    ),
    (
        workflow(steps=[STEP | {"capability": "codin"}]),
        {"services": WRITER},
        "CapabilityNotOffered",
        'spec.steps[0].capability: no ModelService offers "codin"; allowed: coding',
    ),
    (
        workflow(steps=[STEP | {"capability": "codin", "optional": True}]),
        {"services": WRITER},
        "CapabilityNotOffered",
        'spec.steps[0].capability: no ModelService offers "codin"; allowed: coding',
    ),
    (
        workflow(steps=[STEP | {"capability": "poetry"}]),
        {"services": WRITER | {"poet": service_body("poet", ready=False, capabilities=["poetry"])}},
        "ServiceNotReady",
        "spec.steps[0]: not ready: poet (Starting); its own conditions say why",
    ),
    (
        workflow(router={"defaultService": {"name": "nobody"}}),
        {"services": WRITER},
        "ServiceNotFound",
        'spec.router.defaultService.name: no ModelService is named "nobody"; allowed: writer',
    ),
    (
        workflow(checkpoint=FAST),
        {"storage_class_exists": False},
        "StorageClassNotFound",
        'spec.checkpoint.storage.className: no StorageClass is named "fast"; allowed: one that `kubectl get '
        "storageclass` shows",
    ),
    (
        model(llamaCpp=BY_URL),
        {"storage_class_exists": False},
        "StorageClassNotFound",
        'spec.llamaCpp.cache.className: no StorageClass is named "fast"; allowed: one that `kubectl get '
        "storageclass` shows",
    ),
    (
        model("library", rag={"documents": {"configMap": {"name": "papers"}}} | WRITER_REF),
        {"config_maps": frozenset()},
        "ConfigMapNotFound",
        'spec.rag.documents.configMap.name: no ConfigMap is named "papers"; allowed: a ConfigMap of the namespace team',
    ),
    (
        model("library", rag={"documents": VOLUME} | WRITER_REF),
        {"named_claims": {}},
        "ClaimNotFound",
        "spec.rag.documents.persistentVolumeClaim.claimName: no PersistentVolumeClaim is named "
        '"shelf"; allowed: a claim of the namespace team',
    ),
    (
        model(llamaCpp={"source": VOLUME}),
        {"named_claims": {}},
        "ClaimNotFound",
        "spec.llamaCpp.source.persistentVolumeClaim.claimName: no PersistentVolumeClaim is named "
        '"shelf"; allowed: a claim of the namespace team',
    ),
    (
        model(llamaCpp={"source": BY_URL["source"] | {"secretRef": {"name": "hub", "key": "token"}}}),
        {"secrets": frozenset([("hub", "other")])},
        "SecretNotFound",
        'spec.llamaCpp.source.secretRef: no Secret is named "hub" and has the key "token"; '
        "allowed: a Secret of the namespace team",
    ),
    (
        workflow(router={"model": {"source": BY_URL["source"] | {"secretRef": {"name": "hub"}}}}),
        {"services": WRITER, "secrets": frozenset()},
        "SecretNotFound",
        'spec.router.model.source.secretRef: no Secret is named "hub" and has the key "apiKey"; '
        "allowed: a Secret of the namespace team",
    ),
    (
        workflow(router={"model": {"source": VOLUME}}),
        {"services": WRITER, "named_claims": {}},
        "ClaimNotFound",
        "spec.router.model.source.persistentVolumeClaim.claimName: no PersistentVolumeClaim is named "
        '"shelf"; allowed: a claim of the namespace team',
    ),
    (
        model(openAI=REMOTE),
        {"secrets": frozenset({("llm", "apiKey")})},
        "SecretNotFound",
        'spec.openAI.secretRef: no Secret is named "llm" and has the key "token"; allowed: a Secret of the namespace '
        "team",
    ),
    (
        model("toolbox", tools={"builtIn": ["clock"]} | WRITER_REF),
        {"services": {}},
        "ServiceNotFound",
        'spec.tools.modelRef.name: no ModelService is named "writer"; allowed: a ModelService of the same namespace',
    ),
]


@pytest.mark.requirement("OPR-5")
@pytest.mark.parametrize(("resource", "observed", "reason", "message"), CASES)
def test_what_is_missing_is_named_with_its_field(
    resource: Resource, observed: dict[str, Any], reason: str, message: str
) -> None:
    found = condition(planned(resource, around(resource, **observed)).status, "DependenciesResolved")
    assert (found["status"], found["reason"], found["message"].split("; spec.")[0]) == ("False", reason, message)
    assert re.match(r"spec\.[\w.\[\]]+(, spec\.[\w.\[\]]+)*: ", message)


def test_an_optional_step_may_wait_for_its_service() -> None:
    services = {"writer": service_body("writer"), "poet": service_body("poet", ready=False, capabilities=["poetry"])}
    steps = [STEP | {"capability": "coding"}, {"name": "b", "role": "b", "capability": "poetry", "optional": True}]
    found = dependencies_of(workflow(steps=steps), Observed(services=services))
    assert list(found.problems) == []


def test_a_step_without_a_wish_needs_any_service_at_all() -> None:
    found = dependencies_of(workflow(steps=[STEP]), Observed())
    assert [problem.reason for problem in found.services] == ["ServiceNotFound", "ServiceNotFound"]
    assert found.services[1].message == "spec.steps[0]: has no ModelService to choose from; allowed: at least one"
    assert list(dependencies_of(workflow(steps=[STEP]), Observed(services=WRITER)).problems) == []


def test_what_keeps_a_pod_from_starting_is_said_first() -> None:
    found = dependencies_of(workflow(checkpoint=FAST), Observed(storage_class_exists=False))
    assert [problem.reason for problem in found.problems] == [
        "StorageClassNotFound",
        "ServiceNotFound",
        "CapabilityNotOffered",
    ]
    assert len(found.mounted) == 1
