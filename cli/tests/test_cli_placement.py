"""Rendezvous hashing: the same choice everywhere, and little moves when a pod comes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost_cli.cluster.placement import ranked

PODS = [f"flow-{ordinal}" for ordinal in range(8)]


@pytest.mark.requirement("AGT-6")
@given(st.uuids(), st.permutations(PODS))
def test_the_choice_depends_on_names_and_id_alone(correlation_id: object, order: list[str]) -> None:
    assert ranked(order, str(correlation_id)) == ranked(PODS, str(correlation_id))


@pytest.mark.requirement("AGT-6")
@given(st.uuids(), st.integers(1, 7))
def test_a_further_pod_takes_runs_and_moves_none_between_the_others(correlation_id: object, count: int) -> None:
    before, after = ranked(PODS[:count], str(correlation_id))[0], ranked(PODS[: count + 1], str(correlation_id))[0]
    assert after in (before, PODS[count])


def test_ids_are_spread_evenly() -> None:
    shares = Counter(ranked(PODS[:4], f"{number}")[0] for number in range(4000))
    assert min(shares.values()) > 850
    assert ranked(["flow-0", "flow-1", "flow-2"], "0b9f0000-0000-4000-8000-000000000009") == ranked(
        ["flow-2", "flow-1", "flow-0"], "0b9f0000-0000-4000-8000-000000000009"
    )
