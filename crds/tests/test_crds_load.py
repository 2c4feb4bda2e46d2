"""Manifests that cannot be used give one line each, that says where, what is wrong and what is allowed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from crds_table import LINEAR, REMOVE, SERVICE, WORKFLOW, Case
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from milepost_crds import AgentWorkflow, ConfigMap, ManifestError, ModelService, load_manifests

Write = Callable[..., Path]
CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "papers"},
    "data": {"goats.md": "# Goats\n"},
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(content: str | bytes, name: str = "file.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write


def refusal(path: Path) -> list[str]:
    with pytest.raises(ManifestError) as refused:
        load_manifests([path])
    assert all("\n" not in line for line in refused.value.errors)
    return [line.replace(str(path), "FILE") for line in refused.value.errors]


def test_files_and_folders_are_read_in_order_with_all_their_documents(write: Write, tmp_path: Path) -> None:
    write(yaml.safe_dump_all([SERVICE, CONFIG_MAP]), "folder/b.yml")
    write("---\n" + yaml.safe_dump(WORKFLOW) + "---\n# nothing here\n", "folder/a.yaml")
    write("not read", "folder/notes.txt")
    write(yaml.safe_dump(SERVICE | {"metadata": {"name": "other", "namespace": "far"}}), "one.yaml")
    manifests = load_manifests([tmp_path / "one.yaml", tmp_path / "folder"])
    assert [(m.kind, m.namespace, m.name, m.path.name, m.document_index) for m in manifests] == [
        ("ModelService", "far", "other", "one.yaml", 0),
        ("AgentWorkflow", "default", "review", "a.yaml", 0),
        ("ModelService", "default", "coder", "b.yml", 0),
        ("ConfigMap", "default", "papers", "b.yml", 1),
    ]
    assert [type(m.resource) for m in manifests] == [ModelService, AgentWorkflow, ModelService, ConfigMap]


@pytest.mark.requirement("CRD-1", "CRD-3")
@pytest.mark.parametrize(
    ("base", "changes", "line"),
    [
        (WORKFLOW, {"spec.patern": "cyclic"}, "spec.patern: is not a known field; allowed: pattern, router"),
        (WORKFLOW, {"spec.arbitrator": {}}, "spec.arbitrator.modelRef: is missing; allowed: a mapping with name"),
        (
            SERVICE,
            {"spec.openAI": {"baseURL": "https://a", "model": "b"}},
            "spec: does not set exactly one of llamaCpp, openAI, rag, tools; allowed: exactly one of llamaCpp, openAI, "
            "rag, tools",
        ),
        (
            WORKFLOW,
            LINEAR | {"spec.steps[3]": {"name": "more", "role": "more"}},
            "spec.steps: has too many steps for pattern linear; allowed: 1 to 3 steps",
        ),
        (
            WORKFLOW,
            {"spec.cycle.maxCycles": 9},
            "spec.cycle.maxCycles: 9 is not allowed here; allowed: a whole number from 1 to 2",
        ),
        (
            WORKFLOW,
            {"spec.steps[2].name": "code", "spec.cycle.from": "code"},
            'spec.steps[2].name: "code" is there twice; allowed: every name once',
        ),
        (
            WORKFLOW,
            {"spec.steps[0].timeout": "5x"},
            'spec.steps[0].timeout: "5x" is not allowed here; allowed: a duration such as "90s", "5m" or "1h30m", '
            "at most 16 characters",
        ),
        (
            WORKFLOW,
            {"spec.pattern": "tree"},
            'spec.pattern: "tree" is not allowed here; allowed: one of linear, cyclic',
        ),
        (WORKFLOW, {"kind": "AgentWorkflw"}, 'kind: "AgentWorkflw" is not known; allowed: AgentWorkflow'),
        (WORKFLOW, {"kind": REMOVE}, "kind: is missing; allowed: AgentWorkflow, ModelService, ConfigMap"),
        (WORKFLOW, {"apiVersion": REMOVE}, "apiVersion: is missing; allowed: milepost.dev/v1alpha1"),
        (WORKFLOW, {"apiVersion": "v1"}, 'apiVersion: "v1" is not known; allowed: milepost.dev/v1alpha1'),
        (WORKFLOW, {"metadata": REMOVE}, "metadata: is missing; allowed: a mapping with name"),
        (
            SERVICE,
            {"spec.capabilities": ["x" * 41]},
            "spec.capabilities[0]: has 41 characters; allowed: lower-case words and digits joined by single hyphens, "
            "such as code-review, at most 40 characters",
        ),
        (
            CONFIG_MAP,
            {"data": {"../x": "y"}},
            'data: "../x" is not allowed here; allowed: keys of letters, digits, hyphens, dots and underscores, '
            "at most 253 characters",
        ),
        (
            CONFIG_MAP,
            {"data": {"..": "y"}},
            'data: has a key that starts with ".."; allowed: keys of letters, digits, hyphens, dots and underscores',
        ),
    ],
)
def test_one_mistake_is_one_exact_line(
    base: dict[str, object], changes: dict[str, object], line: str, write: Write
) -> None:
    path = write(yaml.safe_dump(Case("", base, changes).resource()))
    assert refusal(path) == [f"FILE: {line}"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a: [", "FILE: is not YAML: did not find expected node content (line "),
        ("a: 1\nb: 2\na: 3\n", 'FILE: has the key "a" twice (line 3); allowed: every key once, as text'),
        ("1: x\n", "FILE: has a key that is not text (line 1); allowed: every key once, as text"),
        (b"\xff\xfe\x00", "FILE: is not UTF-8 text (byte 0); allowed: UTF-8"),
        ("", "FILE: is empty; allowed: at least one resource"),
        ("# only this\n---\n", "FILE: is empty; allowed: at least one resource"),
        ("- kind\n", "FILE: is not a resource but a list; allowed: a mapping with apiVersion and kind"),
        ("just words", "FILE: is not a resource but text; allowed: a mapping with apiVersion and kind"),
        ("a" * 1024 * 1024 + "b", "FILE: is too large; allowed: at most 1024 KiB a file"),
        ("[" * 500_000, "FILE: is nested too deeply; allowed: at most 64 levels"),
        ("kind: !!python/object:os.system {}", "FILE: is not YAML: could not determine a constructor for the tag"),
        (
            "a: &a [*a]",
            "FILE: is too large when its aliases are followed; allowed: at most 100000 values, 64 levels deep",
        ),
        ("---\n1\n" * 1001, "FILE: has too many documents; allowed: at most 1000 a file"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_is_no_manifest_is_one_line(content: str | bytes, line: str, write: Write) -> None:
    (found,) = refusal(write(content))
    assert found.startswith(line)


def test_aliases_cannot_blow_up(write: Write) -> None:
    lines = ["a0: &a0 [1,2,3,4,5,6,7,8,9]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (found,) = refusal(write("\n".join(lines)))
    assert "aliases" in found


def test_missing_files_and_empty_folders_are_one_line_each(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty") == ["FILE: has no manifests; allowed: a folder with *.yaml or *.yml files"]
    assert refusal(tmp_path / "gone") == ["FILE: does not exist; allowed: a YAML file or a folder with YAML files"]
    with pytest.raises(ManifestError, match="no manifest is named; allowed: "):
        load_manifests([])


def test_everything_that_is_wrong_is_told_with_its_document(write: Write) -> None:
    wrong = Case("", WORKFLOW, {"spec.cycle.maxCycles": 9, "spec.zebra": 1, "spec.replicas": 0}).resource()
    path = write(yaml.safe_dump_all([SERVICE, wrong, {"kind": "Pod"}]))
    found = refusal(path)
    assert [line.split(": ")[:2] for line in found] == [
        ["FILE, document 2", "spec.zebra"],
        ["FILE, document 2", "spec.cycle.maxCycles"],
        ["FILE, document 2", "spec.replicas"],
        ["FILE, document 3", "kind"],
    ]
    with pytest.raises(ManifestError) as refused:
        load_manifests([path])
    assert str(refused.value).endswith(" (and 3 more)")


def test_a_strange_key_stays_on_its_line(write: Write) -> None:
    (found,) = refusal(write(yaml.safe_dump(Case("", SERVICE, {"spec.a\nb": 1}).resource())))
    assert found.startswith("FILE: spec.a b: is not a known field; allowed: ")
    (found,) = refusal(write(yaml.safe_dump(Case("", SERVICE, {"spec." + "k" * 9999: 1}).resource())))
    assert len(found) < 600


def test_a_date_stays_text_as_it_does_for_the_api_server(write: Write) -> None:
    path = write(yaml.safe_dump(SERVICE).replace("coding", "coding\n  description: 2026-11-23"))
    (manifest,) = load_manifests([path])
    assert isinstance(manifest.resource, ModelService)
    assert manifest.resource.spec.description == "2026-11-23"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
@example(b"kind: [ModelService]")
@example(b"? {a: b}\n: c")
@example(b"kind: ModelService\napiVersion: milepost.dev/v1alpha1\nmetadata: 7\nspec: []")
def test_no_file_at_all_brings_the_loader_down(write: Write, content: bytes) -> None:
    try:
        load_manifests([write(content)])
    except ManifestError as error:
        assert all("\n" not in line and "; allowed: " in line for line in error.errors)
    else:
        raise AssertionError("random bytes are no resource")
