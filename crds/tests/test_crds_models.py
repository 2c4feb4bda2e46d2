"""What the models promise beyond single resources: round trips, defaults, units."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from crds_table import OPENAI, PACKAGE, RAG, REMOVE, SERVICE, TOOLS, WORKFLOW, Case
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity as reference_quantity

from milepost_crds import (
    AgentWorkflow,
    ModelService,
    ModelServiceSpec,
    ModelServiceStatus,
    load_manifests,
    parse_duration,
    parse_quantity,
    parse_resource,
    render_manifest,
)

names = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
tags = st.from_regex(r"[a-z0-9]{1,10}(-[a-z0-9]{1,10}){0,2}", fullmatch=True)
texts = st.text(max_size=40)
durations = st.integers(1, 3600).map(lambda seconds: f"{seconds}s")
refs = st.fixed_dictionaries({"name": names})


def _steps(count: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    optional = {"instructions": texts, "timeout": durations, "requireApproval": st.booleans(), "capability": tags}
    step = st.fixed_dictionaries({"name": names.map(lambda name: f"s-{name}"), "role": tags}, optional=optional)
    return st.lists(step, min_size=1, max_size=count, unique_by=lambda step: str(step["name"]))


@st.composite
def workflows(draw: st.DrawFn) -> dict[str, Any]:
    cyclic = draw(st.booleans())
    steps = draw(_steps(5 if cyclic else 3))
    spec: dict[str, Any] = {
        "pattern": "cyclic" if cyclic else "linear",
        "steps": steps,
        "arbitrator": {"modelRef": draw(refs)},
    }
    if cyclic:
        last = draw(st.integers(0, len(steps) - 1))
        first = draw(st.integers(0, last))
        spec["cycle"] = {"from": steps[last]["name"], "to": steps[first]["name"]}
    if draw(st.booleans()):
        spec["maxHops"] = draw(st.integers(1, 5 if cyclic else 3))
    spec["router"] = {"confidenceThreshold": draw(st.floats(0, 1))}
    return {
        "apiVersion": "milepost.dev/v1alpha1",
        "kind": "AgentWorkflow",
        "metadata": {"name": draw(names)},
        "spec": spec,
    }


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(workflows())
def test_a_workflow_survives_the_way_through_a_file(tmp_path: Path, document: dict[str, Any]) -> None:
    workflow = parse_resource(document)
    path = tmp_path / "workflow.yaml"
    path.write_text(render_manifest(workflow.as_manifest()), encoding="utf-8")
    assert [manifest.resource for manifest in load_manifests([path])] == [workflow]


@pytest.mark.requirement("CRD-3")
def test_the_defaults_of_a_workflow_are_those_that_are_documented() -> None:
    workflow = parse_resource(WORKFLOW)
    assert isinstance(workflow, AgentWorkflow)
    spec = workflow.spec
    assert (spec.run_timeout, spec.steps[0].timeout) == ("15m", "5m")
    assert spec.hop_limit == 5
    assert spec.cycle is not None
    assert spec.cycle.max_cycles == 2
    assert (spec.router.confidence_threshold, spec.arbitrator.weight) == (0.5, 0.3)
    assert (spec.checkpoint.backend, spec.checkpoint.durability, spec.checkpoint.reclaim_policy) == (
        "sqlite",
        "full",
        "Retain",
    )
    assert spec.observability.mode == "shipping"
    linear = parse_resource(Case("", WORKFLOW, {"spec.pattern": "linear", "spec.cycle": REMOVE}).resource())
    assert isinstance(linear, AgentWorkflow)
    assert linear.spec.hop_limit == 3


@pytest.mark.requirement("CRD-1")
@pytest.mark.parametrize(
    ("engine", "block"),
    [("llamaCpp", {"source": {"package": PACKAGE}}), ("openAI", OPENAI), ("rag", RAG), ("tools", TOOLS)],
)
def test_the_engine_that_is_set_is_found(engine: str, block: dict[str, Any]) -> None:
    service = parse_resource(Case("", SERVICE, {"spec.llamaCpp": REMOVE, f"spec.{engine}": block}).resource())
    assert isinstance(service, ModelService)
    assert service.spec.engine_name == engine
    assert service.spec.engine.model_dump(exclude_unset=True, by_alias=True) == block


def test_python_code_may_use_python_names() -> None:
    spec = ModelServiceSpec.model_validate({"capabilities": ["a"], "llama_cpp": {"source": {"package": PACKAGE}}})
    assert spec.llama_cpp is not None
    assert spec.llama_cpp.context_tokens == 2048


def test_a_status_of_a_newer_release_can_be_read() -> None:
    condition = {"type": "Ready", "status": "True", "reason": "Served", "lastTransitionTime": "2026-11-23T00:00:00Z"}
    status = ModelServiceStatus.model_validate({"conditions": [condition], "inventedLater": 1})
    assert status.conditions[0].status == "True"
    assert "inventedLater" not in status.as_manifest()


@settings(deadline=None)
@given(st.integers(0, 9999), st.integers(0, 9999), st.integers(0, 99999))
def test_durations_add_up(hours: int, minutes: int, seconds: int) -> None:
    expected = timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds()
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == expected


@pytest.mark.parametrize("text", ["", "5", "5x", "m", "1s1m", "1.5h", "-1s", " 1s", "1s\n", "１s"])
def test_other_texts_are_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@settings(deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(0, 999),
    st.sampled_from(["", "m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi"]),
)
def test_quantities_are_read_as_the_official_client_reads_them(whole: int, part: int, suffix: str) -> None:
    text = f"{whole}.{part:03}{suffix}"
    assert parse_quantity(text) == min(reference_quantity(text), 2**63 - 1)  # the API server's cap, not the client's


@pytest.mark.parametrize(
    ("text", "value"), [("2e3", 2000), ("1E", 10**18), ("5E-1", 0.5), ("9Ei", 2**63 - 1), (".5", 0.5)]
)
def test_quantities_of_rarer_forms(text: str, value: float) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "1GB", "-1", "1 Gi", "Gi", "1Gi\n", "1u", "0x10"])
def test_other_texts_are_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)
