"""Threads follow the CPU limit; memory is the sum of weights, KV cache and runtime."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost_crds import ResourceRequirements
from milepost_operator.sizing import RUNTIME_BYTES, ModelShape, cpu_limit, estimate_memory, threads_for

SMOLLM2 = ModelShape(layers=30, kv_heads=3, head_dimension=64)


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


def test_the_cache_of_every_sequence_is_counted_in_full() -> None:
    assert SMOLLM2.kv_bytes_per_token == 2 * 30 * 3 * 64 * 2
    estimate = estimate_memory(145_000_000, SMOLLM2, context_tokens=2048, sequences=4)
    assert estimate.kv_cache == 23_040 * 2048 * 4
    assert estimate.total == 145_000_000 + estimate.kv_cache + RUNTIME_BYTES


def test_the_smallest_limit_fits_and_one_less_does_not() -> None:
    estimate = estimate_memory(145_000_000, SMOLLM2, context_tokens=2048, sequences=1)
    smallest = estimate.smallest_limit()
    assert estimate.fits(smallest)
    assert not estimate.fits(f"{int(smallest.removesuffix('Mi')) - 1}Mi")
    assert estimate.fits(None)
