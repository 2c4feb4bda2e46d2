"""Names are DNS labels, stay the same, and do not collide."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost_operator.names import NAME_LIMIT, capability_labels, child_name, object_labels, selector_labels

owners = st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
suffixes = st.sampled_from(["", "agent", "headless", "model-cache"])


@settings(deadline=None)
@given(owners, suffixes, st.sampled_from([52, NAME_LIMIT]))
def test_a_child_name_is_a_label_that_keeps_its_suffix(owner: str, suffix: str, limit: int) -> None:
    name = child_name(owner, suffix, limit=limit)
    assert len(name) <= limit
    assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert name.endswith(suffix)
    assert name == child_name(owner, suffix, limit=limit)


def test_short_names_stay_readable_and_long_ones_stay_apart() -> None:
    assert child_name("review") == "review"
    assert child_name("review", "agent") == "review-agent"
    first, second = child_name("a" * 62 + "b", "agent"), child_name("a" * 62 + "c", "agent")
    assert first != second
    assert len(first) == NAME_LIMIT
    assert "--" not in child_name("a" * 47 + "-" + "b" * 15, "agent")


def test_a_suffix_that_leaves_no_room_is_an_error() -> None:
    with pytest.raises(ValueError, match="leaves no room"):
        child_name("owner", "s" * 60)


def test_selectors_are_part_of_the_labels_and_of_nothing_that_changes() -> None:
    selector, labels = selector_labels("review", "agent"), object_labels("review", "agent")
    assert selector.items() <= labels.items()
    assert set(selector) == {f"app.kubernetes.io/{part}" for part in ("name", "instance", "component")}
    assert labels["app.kubernetes.io/managed-by"] == "milepost-operator"


def test_each_capability_is_a_label_that_can_be_selected() -> None:
    assert capability_labels(["review", "code-review"]) == {
        "capability.milepost.dev/code-review": "true",
        "capability.milepost.dev/review": "true",
    }
