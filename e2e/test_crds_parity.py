"""The API server and the typed models judge every resource of the table alike."""

import json
import os
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from e2e_cluster import Cluster
from milepost_crds import GROUP, VERSION, ManifestError, load_manifests, parse_resource

CRDS = Path(__file__).resolve().parent.parent / "crds"
TABLE = runpy.run_path(str(CRDS / "tests" / "crds_table.py"))
CASES, UPDATES = TABLE["CASES"], TABLE["UPDATES"]
EXAMPLES = CRDS.parent / "examples"
PLURALS = {"AgentWorkflow": "agentworkflows", "ModelService": "modelservices"}
NAMESPACE = "default"


def _cel_messages(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (validation["message"] for validation in node.get("x-kubernetes-validations", []))
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _cel_messages(item)


CEL_MESSAGES = {
    message
    for plural in PLURALS.values()
    for message in _cel_messages(yaml.safe_load((CRDS / f"{plural}.yaml").read_text()))
}

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="KUBECONFIG names no cluster"),
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),  # a throw-away cluster may have no certificate
]


@pytest.fixture(scope="module")
def definitions(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Both CRDs as the API server took them; those that were not there before are removed again."""
    extensions = client.ApiextensionsV1Api(cluster.api)
    present = {found.metadata.name for found in extensions.list_custom_resource_definition().items}
    wanted = [yaml.safe_load((CRDS / f"{plural}.yaml").read_text()) for plural in PLURALS.values()]
    names = [definition["metadata"]["name"] for definition in wanted]
    for name, definition in zip(names, wanted, strict=True):
        _apply(extensions, name, definition)
    taken = {name: _established(extensions, name) for name in names}
    yield taken
    for name in set(names) - present:
        extensions.delete_custom_resource_definition(name)


@pytest.fixture(scope="module")
def resources(cluster: Cluster, definitions: dict[str, Any]) -> client.CustomObjectsApi:
    return client.CustomObjectsApi(cluster.api)


def _apply(extensions: client.ApiextensionsV1Api, name: str, definition: dict[str, Any]) -> None:
    extensions.patch_custom_resource_definition(
        name, definition, field_manager="milepost-e2e", force=True, _content_type="application/apply-patch+yaml"
    )


def _established(extensions: client.ApiextensionsV1Api, name: str) -> Any:
    give_up = monotonic() + 30
    while monotonic() < give_up:
        definition = extensions.read_custom_resource_definition(name)
        conditions = {found.type: found.status for found in definition.status.conditions or []}
        if conditions.get("Established") == "True":
            return definition
        sleep(0.1)
    raise AssertionError(f"{name} was not established within 30 s")


def _create(resources: client.CustomObjectsApi, resource: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Server-side dry run with strict field validation; a CRD just established may not be served for a moment."""
    options = {"dry_run": "All", **options}
    give_up = monotonic() + 30
    while True:
        try:
            created: dict[str, Any] = resources.create_namespaced_custom_object(
                GROUP, VERSION, NAMESPACE, PLURALS[resource["kind"]], resource, field_validation="Strict", **options
            )
        except ApiException as error:
            if error.status != 404 or monotonic() > give_up:
                raise
            sleep(0.1)
        else:
            return created


@pytest.mark.requirement("CRD-4", "CRD-5")
@pytest.mark.parametrize("case", [case for case in CASES if case.fault is None], ids=lambda case: case.name)
def test_a_valid_resource_is_taken_with_the_same_defaults(case: Any, resources: client.CustomObjectsApi) -> None:
    created = _create(resources, case.resource())
    assert _comparable(created["spec"]) == _comparable(parse_resource(case.resource()).as_manifest()["spec"])


@pytest.mark.requirement("CRD-4", "CRD-5")
@pytest.mark.parametrize("case", [case for case in CASES if case.fault is not None], ids=lambda case: case.name)
def test_an_invalid_resource_is_refused_for_the_same_field(case: Any, resources: client.CustomObjectsApi) -> None:
    with pytest.raises(ApiException) as refused:
        _create(resources, case.resource())
    assert refused.value.status in {400, 422}
    message = json.loads(refused.value.body)["message"]
    named = re.sub(r"\[\d+\]$", "", case.fault).split(".")[-1]
    assert re.sub(r"\[\d+\]", "", named) in message
    with pytest.raises(ManifestError) as refused_here:
        parse_resource(case.resource())
    for line in refused_here.value.errors:
        sentence = line.split(": ", 1)[1]
        assert sentence in message or sentence not in CEL_MESSAGES


@pytest.mark.requirement("CRD-4")
@pytest.mark.parametrize("update", UPDATES, ids=lambda update: update.name)
def test_an_update_is_taken_or_refused_with_what_to_do_instead(update: Any, resources: client.CustomObjectsApi) -> None:
    before, plural = update.before.resource(), PLURALS[update.before.resource()["kind"]]
    name = f"update-{UPDATES.index(update)}"
    before["metadata"]["name"] = name
    stored = _create(resources, before, dry_run=None)
    try:
        after = update.after() | {"metadata": stored["metadata"]}
        if update.fault is None:
            _replace(resources, plural, name, after)
            return
        with pytest.raises(ApiException) as refused:
            _replace(resources, plural, name, after)
        message = json.loads(refused.value.body)["message"]
        assert refused.value.status == 422
        assert f"{update.fault}: Invalid value" in message
        assert re.search(r"(cannot shrink|cannot be changed); allowed: .* or a \w+ of another name", message)
    finally:
        resources.delete_namespaced_custom_object(GROUP, VERSION, NAMESPACE, plural, name)


def _replace(resources: client.CustomObjectsApi, plural: str, name: str, resource: dict[str, Any]) -> None:
    resources.replace_namespaced_custom_object(
        GROUP, VERSION, NAMESPACE, plural, name, resource, dry_run="All", field_validation="Strict"
    )


@pytest.mark.requirement("CRD-5")
@pytest.mark.parametrize("kind", PLURALS)
def test_kubectl_shows_the_reason_only_when_it_is_asked_for_more(kind: str, definitions: dict[str, Any]) -> None:
    name = f"{PLURALS[kind]}.{GROUP}"
    columns = {found.name: found.priority for found in definitions[name].spec.versions[0].additional_printer_columns}
    assert columns["Reason"] == 1
    assert not columns["Ready"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*.yaml")), ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_the_examples_are_taken(path: Path, resources: client.CustomObjectsApi) -> None:
    for manifest in load_manifests([path]):
        if manifest.kind in PLURALS:
            documents = [found for found in yaml.safe_load_all(path.read_text()) if found is not None]
            document = documents[manifest.document_index]
            assert _create(resources, document)["kind"] == manifest.kind


@pytest.mark.requirement("CRD-5")
def test_the_server_stores_a_structural_schema_without_complaint(definitions: dict[str, Any]) -> None:
    for definition in definitions.values():
        conditions = {found.type: found.status for found in definition.status.conditions}
        assert conditions["NamesAccepted"] == "True"
        assert conditions.get("NonStructuralSchema", "False") == "False"
        assert definition.status.stored_versions == [VERSION]


@pytest.mark.requirement("CRD-5")
def test_a_stored_model_service_has_a_scale(resources: client.CustomObjectsApi) -> None:
    case = next(case for case in CASES if case.base["kind"] == "ModelService" and case.fault is None)
    name = "scale-story"
    resource = case.resource() | {"metadata": {"name": name}}
    plural = PLURALS["ModelService"]
    resources.create_namespaced_custom_object(GROUP, VERSION, NAMESPACE, plural, resource)
    try:
        resources.patch_namespaced_custom_object_scale(
            GROUP,
            VERSION,
            NAMESPACE,
            plural,
            name,
            {"spec": {"replicas": 3}},
            _content_type="application/merge-patch+json",
        )
        stored = resources.get_namespaced_custom_object(GROUP, VERSION, NAMESPACE, plural, name)
        assert stored["spec"]["replicas"] == 3
    finally:
        resources.delete_namespaced_custom_object(GROUP, VERSION, NAMESPACE, plural, name)


def _comparable(value: Any) -> Any:
    """Without what means the same: empty parts, and whole numbers as quantities."""
    if isinstance(value, dict):
        kept = {key: _comparable(item) for key, item in value.items()}
        quantities = {"cpu", "memory", "ephemeral-storage", "size"}
        return {key: str(item) if key in quantities else item for key, item in kept.items() if item not in ({}, [], "")}
    return [_comparable(item) for item in value] if isinstance(value, list) else value
