"""The tool process over gRPC, with the real model to choose."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from milepost.agent.v1 import message_pb2
from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost_crds import ModelService
from milepost_service import telemetry
from milepost_service.channels import open_channel
from milepost_service.correlation import correlation
from milepost_service.metadata import call_metadata
from milepost_service.model_client import ModelClient
from milepost_service.resource import load_model_service
from milepost_service.testing import ServiceProcess, free_port, running
from milepost_tools.answer import answer_with
from milepost_tools.calculator import Calculator
from milepost_tools.clock import Clock
from milepost_tools.toolbox import Toolbox

SERVICE = """\
apiVersion: milepost.dev/v1alpha1
kind: ModelService
metadata: {name: desk}
spec:
  capabilities: [tools]
  tools:
    builtIn: [calculator, clock]
    modelRef: {name: smollm2}
"""


@pytest.fixture(scope="module")
def service_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tools") / "service.yaml"
    path.write_text(SERVICE)
    return path


@pytest.fixture(scope="module")
def resource(service_file: Path) -> ModelService:
    return load_model_service(service_file, engine="tools")


@pytest.fixture(scope="module")
def tools(service_file: Path, model_service: ServiceProcess) -> Iterator[ServiceProcess]:
    environment = {"MILEPOST_SERVICE_FILE": str(service_file), "MILEPOST_MODEL_TARGET": model_service.target}
    with running("milepost_tools", service_file.with_name("tools.log"), environment) as service:
        yield service


@pytest.fixture
async def stub(tools: ServiceProcess) -> AsyncIterator[Any]:
    async with open_channel(tools.target) as channel:
        yield capability_pb2_grpc.CapabilityServiceStub(channel)


async def invoke(stub: Any, **fields: Any) -> capability_pb2.InvokeResult:
    responses = [item async for item in stub.Invoke(capability_pb2.InvokeRequest(**fields), timeout=60)]
    result: capability_pb2.InvokeResult = responses[-1].result
    assert result.text == "".join(response.delta for response in responses[:-1])
    return result


@pytest.mark.models
@pytest.mark.requirement("TLS-1")
async def test_the_calculator_answers_and_its_calls_are_recorded(stub: Any) -> None:
    result = await invoke(stub, prompt="What is 12 * 12, and what is 1/0?")
    calls = [(call.name, json.loads(call.arguments), call.result, call.error) for call in result.tool_calls]
    assert calls == [
        ("calculator", {"expression": "12 * 12"}, "144", ""),
        ("calculator", {"expression": "1 / 0"}, "", "division by zero"),
    ]
    assert "12 * 12 = 144" in result.text
    assert "no model was asked" in result.text


@pytest.mark.models
@pytest.mark.requirement("TLS-1")
async def test_the_clock_answers(stub: Any) -> None:
    result = await invoke(stub, prompt="What time is it in Tokyo?")
    (call,) = result.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("clock", {"timezone": "Asia/Tokyo"})
    assert call.result.endswith("Asia/Tokyo)")


@pytest.mark.models
@pytest.mark.requirement("TLS-1")
async def test_where_both_could_answer_the_model_chooses_one_of_them(stub: Any) -> None:
    result = await invoke(stub, prompt="What day is it, if one day is 60 * 24 minutes?")
    (call,) = result.tool_calls
    assert call.name in ("calculator", "clock")
    assert f"The model chose {call.name} (calculator 0." in result.text


@pytest.mark.models
async def test_where_no_tool_applies_none_is_called(stub: Any) -> None:
    result = await invoke(stub, prompt="Tell me a joke.", verdicts=["yes", "no"])
    assert not result.tool_calls
    assert result.text == "No tool applies to this request. There are: calculator, clock."
    assert result.verdict in ("yes", "no")


async def summary(stub: Any) -> str:
    """How the server box is, as the service tells it."""
    described = await stub.Describe(capability_pb2.DescribeRequest(), timeout=30)
    return str(described.details["mcp.box"])


@pytest.mark.models
@pytest.mark.requirement("TLS-1")
async def test_the_model_writes_a_call_of_a_tool_of_an_mcp_server(
    model_service: ServiceProcess, tmp_path: Path
) -> None:
    script = Path(__file__).with_name("tools_mcp_server.py")
    file = tmp_path / "service.yaml"
    server = {"name": "box", "command": [sys.executable, str(script), str(tmp_path), "stdio"]}
    file.write_text(SERVICE.replace("builtIn: [calculator, clock]", f"mcpServers: [{json.dumps(server)}]"))
    environment = {"MILEPOST_SERVICE_FILE": str(file), "MILEPOST_MODEL_TARGET": model_service.target}
    with running("milepost_tools", tmp_path / "tools.log", environment) as service:
        async with open_channel(service.target) as channel:
            stub: Any = capability_pb2_grpc.CapabilityServiceStub(channel)
            async with asyncio.timeout(60):
                while await summary(stub) != "8 tools":
                    await asyncio.sleep(0.1)
            request = capability_pb2.InvokeRequest(prompt="Add 2 and 40 with the tool box.add, a is 2 and b is 40.")
            for _ in range(2):
                answers = [
                    each async for each in stub.Invoke(request, timeout=60, metadata=call_metadata(call_id="t/0"))
                ]
    result = answers[-1].result
    (call,) = result.tool_calls
    arguments = json.loads(call.arguments)
    assert (call.name, int(call.result)) == ("box.add", arguments["a"] + arguments["b"])
    assert result.text == f"box.add: {call.result}\nThe model chose box.add and its arguments."
    assert (tmp_path / "calls").read_text() == "add t/0#1\n", "a repeated step calls once, under the id of the call"


async def test_without_its_model_service_only_the_choice_is_unavailable(service_file: Path, tmp_path: Path) -> None:
    target = f"127.0.0.1:{free_port()}"
    environment = {"MILEPOST_SERVICE_FILE": str(service_file), "MILEPOST_MODEL_TARGET": target}
    with running("milepost_tools", tmp_path / "tools.log", environment) as service:
        async with open_channel(service.target) as channel:
            stub = capability_pb2_grpc.CapabilityServiceStub(channel)
            assert (await invoke(stub, prompt="2 + 2")).tool_calls[0].result == "4"
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await invoke(stub, prompt="What time is it after 2 + 2 hours?")
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert f"the model service smollm2 at {target} cannot be reached" in str(refused.value.details())


@pytest.mark.requirement("TLS-1")
async def test_each_call_is_a_span_with_the_correlation_id(resource: ModelService) -> None:
    exporter = InMemorySpanExporter()
    telemetry.add_span_processor(SimpleSpanProcessor(exporter))
    model = ModelClient("smollm2", "127.0.0.1:1")
    request = capability_pb2.InvokeRequest(
        prompt="Go on.", messages=[message_pb2.AgentMessage(payload="6 * 7 and 1 / 0")]
    )
    with correlation("c-7"):
        async for _ in answer_with(Toolbox([Calculator(), Clock()]), model, resource)(request, 5.0):
            pass
    await model.close()
    good, bad = [span for span in exporter.get_finished_spans() if span.name == "tool.call"]
    assert dict(good.attributes or {}) == {
        "correlation.id": "c-7",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "calculator",
        "gen_ai.tool.type": "function",
        "openinference.span.kind": "TOOL",
        "milepost.replayed": False,
        "gen_ai.tool.call.arguments": '{"expression": "6 * 7"}',
        "gen_ai.tool.call.result": "42",
    }
    assert (bad.status.is_ok, bad.status.description) == (False, "division by zero")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "builtIn: [calculator, clock]",
            "builtIn: [httpFetch]\n    httpFetch: {allowedHosts: [example.org], privateNetworks: ['::1/129']}",
            "spec.tools.httpFetch.privateNetworks: ::1/129 is no network; allowed: CIDR such as 10.0.0.0/8",
        ),
        (
            "builtIn: [calculator, clock]",
            "mcpServers: [{name: a}]",
            "spec.tools.mcpServers[0]: ",
        ),
        ("    modelRef: {name: smollm2}\n", "", "spec.tools.modelRef"),
    ],
)
def test_a_service_that_cannot_be_served_is_one_line_and_exit_code_2(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    file = tmp_path / "service.yaml"
    file.write_text(SERVICE.replace(old, new))
    environment = {"MILEPOST_SERVICE_FILE": str(file), "MILEPOST_MODEL_TARGET": "127.0.0.1:1"}
    code, log = ServiceProcess("milepost_tools", tmp_path / "log", environment).wait_exit()
    assert (code, log.count("\n")) == (2, 1), log
    assert log.startswith("milepost-tools: ")
    assert expected in log


@pytest.mark.models
async def test_calls_to_the_model_carry_an_id_made_of_the_call_that_is_served(
    stub: Any, model_service: ServiceProcess
) -> None:
    request = capability_pb2.InvokeRequest(role="assistant", prompt="What is 6 * 7? And what time is it in UTC?")
    for _ in range(2):
        async for _ in stub.Invoke(request, timeout=60, metadata=call_metadata(call_id="outer/0")):
            pass
    async with open_channel(model_service.target) as channel:
        model = capability_pb2_grpc.CapabilityServiceStub(channel)
        listed = await model.ListCalls(capability_pb2.ListCallsRequest(), timeout=60)
    inner = {call.call_id: call for call in listed.calls if call.call_id.startswith("outer/0.")}
    assert "outer/0.0" in inner
    assert all((call.started, call.completed) == (1, 1) for call in inner.values())
