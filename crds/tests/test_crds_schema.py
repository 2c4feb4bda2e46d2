"""The generated CRDs are bounded, portable, served with everything that kubectl needs, and up to date."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from milepost_crds import schema
from milepost_crds.fields import HINTS

DEFINITIONS = {
    definition["spec"]["names"]["kind"]: definition for definition in schema.custom_resource_definitions().values()
}


def version(kind: str) -> dict[str, Any]:
    (only,) = DEFINITIONS[kind]["spec"]["versions"]
    return dict(only)


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from nodes(node[key], f"{path}[{key}]")


def all_nodes() -> list[tuple[str, dict[str, Any]]]:
    roots = [(kind, version(kind)["schema"]["openAPIV3Schema"]) for kind in DEFINITIONS]
    written_by_the_server = ("apiVersion", "kind", "metadata")
    return [
        found
        for kind, root in roots
        for found in nodes(root, kind)
        if found[0] not in {f"{kind}.{name}" for name in written_by_the_server}
    ]


@pytest.mark.requirement("CRD-4")
def test_every_string_list_and_map_is_bounded() -> None:
    unbounded = []
    for path, node in all_nodes():
        kind = "string" if node.get("x-kubernetes-int-or-string") else node.get("type")
        needed = {"string": "maxLength", "array": "maxItems"}.get(str(kind))
        if kind == "object" and "properties" not in node:
            needed = "maxProperties"
        if needed and needed not in node and "enum" not in node:
            unbounded.append(f"{path}: no {needed}")
    assert unbounded == []


@pytest.mark.requirement("CRD-4")
def test_every_number_of_a_spec_has_both_ends() -> None:
    numbers = [
        (path, node) for path, node in all_nodes() if node.get("type") in {"integer", "number"} and ".spec." in path
    ]
    assert len(numbers) > 20
    assert [path for path, node in numbers if not {"minimum", "maximum"} <= node.keys()] == []


@pytest.mark.requirement("CRD-4")
def test_hops_and_cycles_are_capped_in_the_schema() -> None:
    by_path = dict(all_nodes())
    assert by_path["AgentWorkflow.spec.maxHops"]["maximum"] == 5
    assert by_path["AgentWorkflow.spec.steps"]["maxItems"] == 5
    assert by_path["AgentWorkflow.spec.cycle.maxCycles"]["maximum"] == 2
    assert by_path["AgentWorkflow.spec.cycle.maxCycles"]["default"] == 2
    rules = [rule["rule"] for rule in by_path["AgentWorkflow.spec"]["x-kubernetes-validations"]]
    assert "self.pattern != 'linear' || size(self.steps) <= 3" in rules


@pytest.mark.requirement("CRD-5")
def test_the_schema_is_structural() -> None:
    forbidden = {
        "$ref",
        "$defs",
        "oneOf",
        "allOf",
        "not",
        "title",
        "const",
        "uniqueItems",
        "prefixItems",
        "propertyNames",
    }
    for path, node in all_nodes():
        assert not forbidden & node.keys(), path
        assert node.get("default", "something") is not None, path
        assert node.get("additionalProperties") is None or "properties" not in node, path
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        assert "anyOf" not in node or node.get("x-kubernetes-int-or-string"), path


def test_every_field_is_described() -> None:
    fields = [(path, node) for path, node in all_nodes() if not path.endswith("]")]
    assert [path for path, node in fields if not node.get("description")] == []


def test_patterns_mean_the_same_to_every_engine_and_have_words() -> None:
    patterns = {node["pattern"] for _, node in all_nodes() if "pattern" in node}
    assert len(patterns) > 10
    for pattern in patterns:
        re.compile(pattern)
        assert pattern.startswith("^")
        assert pattern.endswith("$")
        assert not re.search(r"\(\?|\\[0-9AZbBdDsSwWzpP]|[*+?}]\+", pattern), "differs between RE2, Rust and Python"
    assert {pattern for pattern in patterns if pattern not in HINTS} == {"^[A-Z][A-Za-z0-9]*$"}  # status only


@pytest.mark.requirement("CRD-5")
def test_kubectl_gets_names_columns_and_subresources() -> None:
    for kind, short_name, middle in (
        ("AgentWorkflow", "mpwf", ["Pattern", "Endpoint"]),
        ("ModelService", "mpms", ["Replicas", "Endpoint"]),
    ):
        names = DEFINITIONS[kind]["spec"]["names"]
        assert names["shortNames"] == [short_name]
        assert names["categories"] == ["milepost"]
        columns = [column["name"] for column in version(kind)["additionalPrinterColumns"]]
        assert columns == ["Ready", *middle, "Age", "Reason"]
        assert version(kind)["subresources"]["status"] == {}
    assert version("ModelService")["subresources"]["scale"]["specReplicasPath"] == ".spec.replicas"
    assert "scale" not in version("AgentWorkflow")["subresources"]


def test_columns_and_scale_point_at_fields_that_exist() -> None:
    known = {path for path, _ in all_nodes()}
    for kind in DEFINITIONS:
        paths = [column["jsonPath"] for column in version(kind)["additionalPrinterColumns"]]
        paths += list(version(kind)["subresources"].get("scale", {}).values())
        for path in paths:
            plain = path.split("[")[0]
            assert f"{kind}{plain}" in known or plain.startswith(".metadata."), path


@pytest.mark.requirement("CRD-6")
def test_status_has_conditions_keyed_by_type_with_the_generation_they_speak_of() -> None:
    for kind in DEFINITIONS:
        conditions = dict(all_nodes())[f"{kind}.status.conditions"]
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]
        assert "observedGeneration" in conditions["items"]["properties"]
        assert "phase" not in dict(all_nodes())[f"{kind}.status"]["properties"]


@pytest.mark.requirement("CRD-5")
def test_the_committed_files_are_what_the_models_say() -> None:
    assert schema.main(["--check"]) == 0


@pytest.mark.requirement("CRD-5")
def test_drift_is_found_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schema, "DIRECTORY", tmp_path)
    assert schema.main(["--check"]) == 1
    assert schema.main([]) == 0
    assert schema.main(["--check"]) == 0
    path = tmp_path / "modelservices.yaml"
    path.write_text(path.read_text().replace("maximum: 64", "maximum: 65", 1))
    capsys.readouterr()
    assert schema.main(["--check"]) == 1
    assert capsys.readouterr().err == "crds/modelservices.yaml: differs from its models; run `make gen`\n"
    assert yaml.safe_load(path.read_text())["kind"] == "CustomResourceDefinition"
