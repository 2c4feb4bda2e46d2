"""Which tool is called with which arguments: what the model is asked, and what becomes of what it writes."""

import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
from mcp import types

from milepost.model.v1 import model_pb2
from milepost_crds import ModelService
from milepost_model.json_schema import grammar_of
from milepost_service.errors import UnavailableError
from milepost_service.model_client import Decision, ModelClient
from milepost_service.resource import load_model_service
from milepost_tools.calculator import Calculator
from milepost_tools.choosing import MAX_OFFERED, choose
from milepost_tools.clock import Clock
from milepost_tools.decoding import MAX_SCHEMA_BYTES, choice_schema, decodable, signature
from milepost_tools.mcp_servers.mcp_tool import McpTool
from milepost_tools.narrowing import best_matches
from milepost_tools.step_ledger import Choice
from milepost_tools.tool import Arguments, SchemaTool
from milepost_tools.toolbox import Toolbox

SERVICE = """\
apiVersion: milepost.dev/v1alpha1
kind: ModelService
metadata: {name: desk}
spec:
  capabilities: [tools]
  generation: {maxTokens: 77}
  tools: {builtIn: [calculator, clock], modelRef: {name: smollm2}}
"""
CUT = "The model wrote no choice within 77 tokens (spec.generation.maxTokens)."
CITY: dict[str, Any] = {"properties": {"city": {"enum": ["Paris", "Oslo"]}}, "required": ["city"]}


async def _unused(name: str, arguments: Arguments, key: str) -> types.CallToolResult:
    raise AssertionError("was called")


def tool(name: str, description: str = "", **schema: Any) -> McpTool:
    found = types.Tool(name=name, description=description, input_schema={"type": "object", **schema})
    return McpTool.of("box", found, _unused)


class Server:
    """A server with given tools, or with trouble."""

    name = "box"
    summary = ""

    def __init__(self, *tools: SchemaTool, trouble: str = "") -> None:
        self.tools = tools
        self.trouble = trouble


class Model:
    """Writes what it is given, and remembers what it was asked."""

    def __init__(self, *written: str) -> None:
        self.written = written
        self.asked: dict[str, Any] = {}

    async def generate(self, messages: Any, **asked: Any) -> AsyncGenerator[str | model_pb2.GenerateResult, None]:
        self.asked = {"messages": messages, **asked}
        for piece in self.written:
            yield piece
        yield model_pb2.GenerateResult()

    async def choose(self, messages: Any, options: Sequence[str], *, timeout: float) -> Decision:
        raise AssertionError("was asked to score")


@pytest.fixture
def resource(tmp_path: Path) -> ModelService:
    file = tmp_path / "service.yaml"
    file.write_text(SERVICE)
    return load_model_service(file, engine="tools")


async def chosen(text: str, model: Model, resource: ModelService, *servers: Server) -> Choice:
    toolbox = Toolbox([Calculator(), Clock()], servers)
    return await choose(text, toolbox, cast(ModelClient, model), resource, 5.0)


@pytest.mark.requirement("TLS-1")
async def test_the_model_writes_the_tool_and_its_arguments_held_to_their_schemas(resource: ModelService) -> None:
    model = Model('{"tool":"box.forecast",', '"arguments":{"city":"Oslo"}}')
    server = Server(tool("forecast", "Tells the weather.", **CITY), tool("add"))
    choice = await chosen("Is 3 * 4 the weather in Oslo?", model, resource, server)
    assert [(call.tool.name, call.arguments) for call in choice.calls] == [("box.forecast", {"city": "Oslo"})]
    assert choice.reason == "The model chose box.forecast and its arguments."
    assert (model.asked["max_tokens"], model.asked["temperature"]) == (77, 0.0)
    branches = json.loads(model.asked["json_schema"])["anyOf"]
    assert [branch["properties"]["tool"]["const"] for branch in branches] == [
        "calculator",
        "none",
        "box.forecast",
        "box.add",
    ], "the clock does not apply, and every other tool does"
    (_, system), (_, user) = model.asked["messages"]
    assert 'box.forecast(city: "Paris"|"Oslo"): Tells the weather.' in system
    assert user == "Is 3 * 4 the weather in Oslo?"


@pytest.mark.parametrize(
    ("written", "calls", "reason"),
    [
        ('{"tool":"calculator"}', ["3 * 4"], "The model chose calculator."),
        ('{"tool":"none"}', [], "The model found that no tool applies to this request."),
        (
            '{"tool":"box.forecast","argum',
            [],
            "The model wrote no choice within 77 tokens (spec.generation.maxTokens).",
        ),
        ('{"tool":"box.other"}', [], CUT),
        ('{"tool":"box.forecast"}', [], CUT),
        ("[1]", [], CUT),
    ],
)
async def test_what_the_model_writes_becomes_calls_or_a_reason(
    resource: ModelService, written: str, calls: list[str], reason: str
) -> None:
    choice = await chosen("What is 3 * 4?", Model(written), resource, Server(tool("forecast", **CITY)))
    assert [call.arguments["expression"] for call in choice.calls] == calls
    assert choice.reason == reason


async def test_a_server_that_is_away_matters_only_where_nothing_else_applies(resource: ModelService) -> None:
    away = Server(trouble="ended with code 1")
    assert (await chosen("2 + 2", Model(), resource, away)).reason.startswith("Only calculator applies")
    with pytest.raises(UnavailableError, match="MCP servers are away: box: ended with code 1") as refused:
        await chosen("Tell me a joke.", Model(), resource, away)
    assert refused.value.retry_after
    assert (await chosen("Tell me a joke.", Model(), resource)).reason.startswith("No tool applies")


@pytest.mark.requirement("TLS-1")
async def test_of_many_tools_those_are_offered_whose_words_the_request_has(resource: ModelService) -> None:
    many = [tool(f"convertUnit{number}", f"Converts unit number {number}.") for number in range(250)]
    wanted = tool("get_tides", "Tells high water at a harbour.", properties={"harbour": {"type": "string"}})
    model = Model('{"tool":"none"}')
    await chosen("When is high tide in the harbour of Brest?", model, resource, Server(*many, wanted))
    names = [each["properties"]["tool"]["const"] for each in json.loads(model.asked["json_schema"])["anyOf"]]
    assert names[:2] == ["none", "box.get_tides"] and len(names) == 1 + MAX_OFFERED


def test_few_tools_are_all_offered_in_their_order() -> None:
    tools = [tool("b"), tool("a")]
    assert best_matches("nothing of it", tools, 2) == tools


SCHEMAS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "plain": (
        {"properties": {"a": {"type": "string", "pattern": "^x+$", "format": "date"}, "b": {"type": "number"}}},
        [{"a": "x", "b": 1.5}, {"a": "x"}, {"b": 2}],
    ),
    "bounds": (
        {
            "properties": {
                "few": {"type": "integer", "minimum": 1, "maximum": 9},
                "many": {"type": "integer", "minimum": 5, "exclusiveMaximum": 10_000},
                "long": {"type": "string", "maxLength": 5_000},
                "list": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3, "uniqueItems": True},
            },
            "required": ["few", "gone"],
        },
        [{"few": 9, "many": 9_999, "long": "y" * 600, "list": [True, False]}],
    ),
    "unions": (
        {
            "properties": {
                "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
                "either": {"type": ["integer", "string"]},
                "one": {"oneOf": [{"const": 1}, {"const": 2}]},
                "all": {"allOf": [{"type": "string"}, {"minLength": 2}]},
                "not": {"not": {"type": "string"}},
            }
        },
        [{"maybe": None, "either": 3, "one": 2, "all": "xy", "not": 4}],
    ),
    "references": (
        {
            "properties": {"place": {"$ref": "#/$defs/Place"}, "tree": {"$ref": "#/$defs/Tree"}},
            "$defs": {
                "Place": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
                "Tree": {"type": "object", "properties": {"children": {"items": {"$ref": "#/$defs/Tree"}}}},
            },
        },
        [{"place": {"x": 1}, "tree": {"children": [{"children": []}]}}],
    ),
    "a map": ({"additionalProperties": {"type": "integer"}}, [{"a": 1, "b": 2}, {}]),
    "closed": ({"properties": {}, "additionalProperties": False}, [{}]),
    "nowhere": ({"properties": {"a": {"$ref": "http://x.example/"}, "b": {"$ref": "#/none"}}}, [{"a": 1, "b": "x"}]),
    "unsatisfiable lengths": ({"properties": {"a": {"type": "string", "minLength": 9, "maxLength": 2}}}, [{}]),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_grammar_holds_to_what_is_left_of_a_schema_and_that_allows_what_the_schema_does(name: str) -> None:
    schema, valid = SCHEMAS[name]
    left = decodable({"type": "object", **schema})
    grammar_of(json.dumps({"anyOf": [left]}))
    for value in valid:
        jsonschema.validate(value, left)


def test_a_schema_that_refers_to_itself_many_times_stays_small() -> None:
    levels = {f"L{n}": {"properties": {f"p{i}": {"$ref": f"#/$defs/L{n + 1}"} for i in range(10)}} for n in range(11)}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/L0"}}, "$defs": levels}
    assert len(json.dumps(decodable(schema))) < 100_000


def test_schemas_that_do_not_fit_together_are_left_out() -> None:
    wide = {f"property{number}": {"type": "boolean"} for number in range(180)}
    tools = [tool(f"wide{number}", properties=wide) for number in range(5)] + [tool("small")]
    schema, offered = choice_schema(["none"], tools)
    assert len(schema) <= MAX_SCHEMA_BYTES
    assert [each.name for each in offered] == ["box.wide0", "box.wide1", "box.small"]
    grammar_of(schema)


def test_a_signature_is_one_short_line() -> None:
    properties = {f"argument{number}": {"type": "string"} for number in range(50)}
    line = signature(tool("wide", "Does\nmuch. " * 100, properties=properties))
    assert line.startswith("box.wide(argument0: string, argument1: string")
    assert len(line) <= 320 and "\n" not in line
