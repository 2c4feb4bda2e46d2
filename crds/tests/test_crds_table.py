"""The typed models judge every resource of the table as it says, and name the field at fault."""

import pytest
from crds_table import CASES, Case

from milepost_crds import ManifestError, parse_resource


def ids(case: Case) -> str:
    return case.name


@pytest.mark.requirement("CRD-1", "CRD-2", "CRD-3", "CRD-4")
@pytest.mark.parametrize("case", [case for case in CASES if case.fault is None], ids=ids)
def test_a_valid_resource_is_taken(case: Case) -> None:
    resource = parse_resource(case.resource())
    assert resource.kind == case.base["kind"]
    assert parse_resource(resource.as_manifest()) == resource


@pytest.mark.requirement("CRD-1", "CRD-2", "CRD-3", "CRD-4")
@pytest.mark.parametrize("case", [case for case in CASES if case.fault is not None], ids=ids)
def test_an_invalid_resource_is_refused_with_its_field_and_what_is_allowed(case: Case) -> None:
    with pytest.raises(ManifestError) as refused:
        parse_resource(case.resource())
    assert [line.split(": ")[0] for line in refused.value.errors][:1] == [case.fault]
    for line in refused.value.errors:
        assert "; allowed: " in line
        assert not line.endswith("allowed: ")
        assert "\n" not in line
        assert len(line) < 500


def test_the_table_has_every_case_once_and_both_verdicts() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60
    assert {case.fault is None for case in CASES} == {True, False}
