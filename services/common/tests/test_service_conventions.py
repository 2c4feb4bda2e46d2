"""The names of telemetry against the pinned version of the semantic conventions."""

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, rpc_attributes
from opentelemetry.semconv.attributes import error_attributes, server_attributes, service_attributes
from opentelemetry.semconv.schemas import Schemas

from milepost_service.telemetry import conventions
from milepost_service.telemetry.conventions import Attributes, Operations


def _values(group: type) -> dict[str, str]:
    return {name: value for name, value in vars(group).items() if name.isupper()}


@pytest.mark.requirement("OBS-2")
def test_names_of_the_conventions_are_those_of_the_pinned_version() -> None:
    """Every gen_ai, rpc, error, server and service attribute exists in the installed conventions, of that version."""
    modules = (gen_ai_attributes, rpc_attributes, error_attributes, server_attributes, service_attributes)
    known = {value for module in modules for value in vars(module).values() if isinstance(value, str)}
    foreign = ("gen_ai.", "rpc.", "error.", "server.", "service.")
    ours = [value for value in _values(Attributes).values() if value.startswith(foreign)]
    assert len(ours) > 20
    assert [value for value in ours if value not in known] == []
    assert conventions.SCHEMA_URL in {schema.value for schema in Schemas}


@pytest.mark.requirement("OBS-2")
def test_operations_are_those_of_the_pinned_version_but_for_plan() -> None:
    """Values of gen_ai.operation.name are the convention's own."""
    known = {each.value for each in gen_ai_attributes.GenAiOperationNameValues}
    assert set(_values(Operations).values()) - known == {"plan"}


def test_no_name_has_two_constants() -> None:
    """A name means one thing."""
    for group in (conventions.Spans, Attributes, Operations, conventions.Metrics):
        values = list(_values(group).values())
        assert len(values) > 5
        assert len(set(values)) == len(values)


@pytest.mark.requirement("OBS-2")
def test_required_names_are_there() -> None:
    """What the requirements name is spelled as they spell it."""
    spans = set(_values(conventions.Spans).values())
    assert {"agent.route_recommendation", "agent.arbitrate", "tool.call", "checkpoint.save"} <= spans
    attributes = set(_values(Attributes).values())
    assert {"service.name", "thread.id", "hop.count", "router.confidence", "correlation.id"} <= attributes
