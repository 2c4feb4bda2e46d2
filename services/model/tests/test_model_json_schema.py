"""What becomes of a JSON schema: a grammar that llama.cpp takes, or one line that says what is not allowed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost_model.json_schema import grammar_of
from milepost_model.sampler import Sampler
from milepost_model.sampling import Sampling
from milepost_model.weights import Weights
from milepost_service.errors import InvalidArgumentError
from milepost_service.models import default_cache_dir, ensure_model
from milepost_service.resource import load_model_service

pytestmark = [pytest.mark.models, pytest.mark.requirement("MOD-1")]


@pytest.fixture(scope="module")
def weights(smollm2_file: Path) -> Iterator[Weights]:
    spec = load_model_service(smollm2_file, engine="llamaCpp").spec.llama_cpp
    assert spec is not None
    weights = Weights(ensure_model(spec, default_cache_dir()))
    yield weights
    weights.close()


def take(weights: Weights, schema: str) -> None:
    """As the servicer does it, before a request waits."""
    Sampler(weights, Sampling(grammar=grammar_of(schema))).close()


TAKEN: list[Any] = [
    True,
    {},
    {"type": ["string", "null"], "title": "t"},
    {"type": "array", "items": {"$ref": "#"}},
    {"type": "object", "properties": {"a": {"$ref": "#"}}},
    {"type": "object", "additionalProperties": {"type": "number"}},
    {"type": "array", "items": {"type": "string", "maxLength": 512}, "minItems": 1, "maxItems": 512},
    {"const": 'a "quoted" \\ \n line and \ud800 half a character'},
    {"type": "string", "enum": ["a", 1]},
    {"type": "object", "properties": {f"p{n}": {"type": "integer"} for n in range(200)}},
]


@pytest.mark.parametrize("schema", TAKEN, ids=lambda schema: json.dumps(schema)[:40])
def test_llama_takes_the_grammar(weights: Weights, schema: Any) -> None:
    take(weights, json.dumps(schema))


REFUSED = {
    "{": "json_schema: is not JSON",
    '{"const": NaN}': "NaN is no number of JSON",
    "[" * 100_000: "json_schema: has 100000 bytes; allowed: 65536",
    "3": "json_schema: is 3; allowed: a JSON schema",
    "false": "cannot be satisfied, false allows nothing",
    '{"enum": []}': "cannot be satisfied, it lists no value of its type",
    '{"type": "integer", "enum": ["a", true]}': "cannot be satisfied, it lists no value of its type",
    '{"anyOf": []}': "json_schema.anyOf: cannot be satisfied",
    '{"type": "string", "minLength": 3, "maxLength": 2}': "maxLength 2 is below minLength 3",
    '{"type": "integer", "minimum": 3, "maximum": 2}': "maximum 2 is below minimum 3",
    '{"type": "integer", "minimum": 5}': "minimum 5, maximum None; allowed: both",
    '{"type": "array", "maxItems": 513}': "json_schema.maxItems: is 513; allowed: 0 to 512",
    '{"type": "number", "minimum": 0}': "minimum cannot be held to",
    '{"properties": {"a": {"type": "strng"}}}': "json_schema.properties.a.type: is 'strng'; allowed: object",
    '{"type": "object", "required": ["a"]}': "json_schema.required: 'a' is no property",
    '{"$ref": "http://example.org/s"}': "allowed: a place in the same schema",
    '{"$ref": "#/$defs/a"}': "#/$defs/a is not there",
    '{"$ref": "#"}': "json_schema: llama.cpp cannot follow it",
    '{"allOf": [{"type": "string"}]}': "allOf cannot be held to",
    '{"items": ' * 40 + "{}" + "}" * 40: "nested more than 32 deep",
}


@pytest.mark.parametrize("schema", sorted(REFUSED), ids=lambda schema: schema[:40])
def test_what_an_answer_cannot_be_held_to_is_refused_by_name(weights: Weights, schema: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        take(weights, schema)
    assert REFUSED[schema] in str(refused.value)
    assert "\n" not in str(refused.value)


_WORDS = [
    "type",
    "properties",
    "required",
    "items",
    "enum",
    "const",
    "anyOf",
    "$ref",
    "minLength",
    "maximum",
    "maxItems",
]
_VALUES = [None, True, 0, 3, -1, "string", "object", "array", "integer", "#", "#/items", "a"]
schemas = st.recursive(
    st.sampled_from(_VALUES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*_WORDS, "a"]), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(schemas)
def test_any_json_is_taken_or_refused(weights: Weights, schema: Any) -> None:
    try:
        take(weights, json.dumps(schema))
    except InvalidArgumentError as refused:
        assert "allowed" in str(refused)
