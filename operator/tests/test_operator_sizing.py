"""Threads follow the CPU limit; every pod has requests and limits; known models fit into what they get."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_cases import SMOLLM2, WRITER_REF, child, model, planned, workflow

from milepost_crds import LlamaCpp, ModelShape, ModelSource, ResourceRequirements, estimate_memory, parse_quantity
from milepost_operator.planning.containers import estimate_of, resources_of
from milepost_operator.planning.known_models import known_size
from milepost_operator.planning.sizing import DEFAULTS, Default, cpu_limit, effective_resources, threads_for


@pytest.mark.parametrize(
    ("limit", "cores", "threads"),
    [
        ("2", 8, 2),
        ("1900m", 8, 1),
        ("500m", 8, 1),
        ("2.5", 8, 2),
        ("4", 2, 2),
        (None, 4, 4),
        ("0", 4, 1),
        ("3000m", 8, 3),
    ],
)
def test_threads_are_the_limit_rounded_down_within_the_cores(limit: str | None, cores: int, threads: int) -> None:
    assert threads_for(limit, cores) == threads


@settings(deadline=None)
@given(st.integers(0, 64_000), st.integers(1, 64))
def test_threads_never_leave_their_bounds(milli_cores: int, cores: int) -> None:
    threads = threads_for(f"{milli_cores}m", cores)
    assert 1 <= threads <= cores
    assert threads == 1 or threads * 1000 <= milli_cores


def test_the_limit_counts_before_the_request() -> None:
    both = ResourceRequirements.model_validate({"requests": {"cpu": 1}, "limits": {"cpu": 2}})
    assert cpu_limit(both) == "2"
    assert cpu_limit(ResourceRequirements.model_validate({"requests": {"cpu": "500m"}})) == "500m"
    assert cpu_limit(ResourceRequirements()) is None


LIGHT = Default("50m", "500m", "128Mi", "256Mi")


@pytest.mark.requirement("OPR-2")
@pytest.mark.parametrize(
    ("given_resources", "requests", "limits"),
    [
        ({}, ("50m", "128Mi"), ("500m", "256Mi")),
        ({"limits": {"cpu": 2}}, ("2", "128Mi"), ("2", "256Mi")),
        ({"requests": {"cpu": 2}}, ("2", "128Mi"), ("2", "256Mi")),
        ({"requests": {"cpu": "100m"}}, ("100m", "128Mi"), ("500m", "256Mi")),
        ({"requests": {"memory": "1Gi"}}, ("50m", "1Gi"), ("500m", "1Gi")),
        (
            {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"cpu": 2, "memory": "2Gi"}},
            ("1", "1Gi"),
            ("2", "2Gi"),
        ),
    ],
)
def test_what_is_given_counts_and_the_rest_has_defaults(
    given_resources: dict[str, Any], requests: tuple[str, str], limits: tuple[str, str]
) -> None:
    found = effective_resources(ResourceRequirements.model_validate(given_resources), LIGHT)
    assert found == {
        "requests": dict(zip(("cpu", "memory"), requests, strict=True)),
        "limits": dict(zip(("cpu", "memory"), limits, strict=True)),
    }


@pytest.mark.requirement("OPR-2")
def test_defaults_differ_by_what_runs_and_a_request_is_within_its_limit() -> None:
    tools = model("toolbox", tools={"builtIn": ["clock"]} | WRITER_REF)
    remote = model(openAI={"baseURL": "https://a.example.org", "model": "b"})
    found = [resources_of(each) for each in (workflow(), model(), tools, remote)]
    assert found[0]["limits"] == {"cpu": DEFAULTS["agent"].cpu_limit, "memory": DEFAULTS["agent"].memory_limit}
    assert found[2] == found[3]
    for each in found:
        for name in ("cpu", "memory"):
            assert parse_quantity(each["requests"][name]) <= parse_quantity(each["limits"][name])


@pytest.mark.requirement("OPR-4")
@pytest.mark.parametrize(
    ("spec", "threads"),
    [
        ({}, "2"),
        ({"resources": {"limits": {"cpu": "3500m"}}}, "3"),
        ({"resources": {"limits": {"cpu": "500m"}}}, "1"),
        ({"resources": {"requests": {"cpu": "4"}}}, "4"),
        ({"llamaCpp": SMOLLM2 | {"threads": 6}}, "6"),
    ],
)
def test_a_pod_is_told_as_many_threads_as_its_cpu_limit_allows(spec: dict[str, Any], threads: str) -> None:
    (container,) = child(planned(model(**spec)), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert {"name": "MILEPOST_THREADS", "value": threads} in container["env"]
    assert int(threads) <= max(1, int(parse_quantity(container["resources"]["limits"]["cpu"])))


HUB = "example/{}-Instruct-GGUF"


@pytest.mark.requirement("OPR-4")
@pytest.mark.parametrize(
    ("repo", "file", "gibibytes", "kv_bytes_per_token"),
    [
        (HUB.format("Mistral-7B-v0.3"), "Mistral-7B-v0.3.Q4_K_M.gguf", 4.1, 131_072),
        (HUB.format("deepseek-coder-6.7b"), "deepseek-coder-6.7b.Q8_0.gguf", 6.7, 524_288),
        (HUB.format("Meta-Llama-3.1-8B"), "Meta-Llama-3.1-8B-Q5_K_M.gguf", 5.3, 131_072),
        (HUB.format("Meta-Llama-3.1-8B"), "meta-llama-3.1-8b-f16.gguf", 15.0, 131_072),
    ],
)
def test_the_size_of_a_well_known_model_follows_from_its_file(
    repo: str, file: str, gibibytes: float, kv_bytes_per_token: int
) -> None:
    engine = LlamaCpp.model_validate({"source": {"huggingFace": {"repo": repo, "file": file}}})
    found = known_size(engine.source, engine.quantization)
    assert found is not None and found.kv_bytes_per_token == kv_bytes_per_token
    assert found.weights_bytes / 1024**3 == pytest.approx(gibibytes, rel=0.03)
    service = model(llamaCpp=engine.as_manifest())
    estimate = estimate_of(service, found)
    assert estimate is not None and estimate.fits(resources_of(service)["limits"]["memory"])


@pytest.mark.parametrize(
    "source",
    [
        {"huggingFace": {"repo": "example/other", "file": "other.Q4_K_M.gguf"}},
        {"huggingFace": {"repo": "example/Mistral-7B", "file": "weights.gguf"}},
        {"persistentVolumeClaim": {"claimName": "a", "path": "mistral-7b.Q4_0.gguf"}},
    ],
)
def test_a_model_that_nobody_knows_gets_a_general_default(source: dict[str, Any]) -> None:
    assert known_size(ModelSource.model_validate(source)) is None
    assert resources_of(model(llamaCpp={"source": source}))["limits"]["memory"] == DEFAULTS["model"].memory_limit


@pytest.mark.requirement("OPR-4")
def test_the_small_model_is_known_as_it_is_carried_and_as_it_is_converted() -> None:
    source = ModelSource.model_validate(SMOLLM2["source"])
    carried, converted = known_size(source), known_size(source, "Q8_0")
    assert carried is not None and converted is not None
    assert carried.kv_bytes_per_token == converted.kv_bytes_per_token == 2 * 30 * 3 * 64 * 2
    assert converted.weights_bytes == pytest.approx(145_000_000, rel=0.03)
    assert carried.weights_bytes == pytest.approx(98_362_432, rel=0.2)


def test_every_sequence_counts_in_full_and_the_smallest_limit_is_just_enough() -> None:
    shape = ModelShape(layers=30, kv_heads=3, head_dimension=64)
    estimate = estimate_memory(145_000_000, shape, context_tokens=2048, sequences=4)
    assert estimate.kv_cache == 23_040 * 2048 * 4
    assert estimate.total == 145_000_000 + estimate.kv_cache + estimate.runtime
    smallest = estimate.smallest_limit()
    assert estimate.fits(smallest) and estimate.fits(None)
    assert not estimate.fits(f"{int(smallest.removesuffix('Mi')) - 1}Mi")
