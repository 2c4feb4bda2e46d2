"""What a text has to look like for a message to be sent, and what it becomes."""

import json
from pathlib import Path

import pytest

from milepost.agent.v1 import message_pb2
from milepost.capability.v1 import capability_pb2
from milepost_crds import ModelService
from milepost_service.model_client import ModelClient
from milepost_service.resource import load_model_service
from milepost_tools.answer import answer_with
from milepost_tools.calculator import Calculator
from milepost_tools.send_message import SendMessage
from milepost_tools.toolbox import Toolbox

SERVICE = """\
apiVersion: milepost.dev/v1alpha1
kind: ModelService
metadata: {name: desk}
spec:
  capabilities: [tools]
  tools: {builtIn: [calculator, sendMessage], modelRef: {name: smollm2}}
"""


@pytest.fixture
def resource(tmp_path: Path) -> ModelService:
    file = tmp_path / "service.yaml"
    file.write_text(SERVICE)
    return load_model_service(file, engine="tools")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tell coder: use a context manager", [("coder", "use a context manager")]),
        ("Please tell the Coder : x  \n- send to test-writer: y: z", [("coder", "x"), ("test-writer", "y: z")]),
        ("tell coder: a\ntell coder: a\ntell coder: b", [("coder", "a"), ("coder", "b")]),
        ("Write code.\n\n  tell reviewer: look at line 3\nThanks.", [("reviewer", "look at line 3")]),
        ("tell coder:\nuse a context manager", []),
        ("I would tell coder: no", []),
        ("tell me: a joke about 'coders'", [("me", "a joke about 'coders'")]),
        ("tell the coder to be brief", []),
        ("tell co_der: x", []),
        ("tell " + "c" * 41 + ": x", []),
    ],
)
def test_only_a_line_of_its_own_that_names_a_role_sends(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(call["recipient"], call["payload"]) for call in SendMessage().calls_for(text)] == expected


def test_at_most_sixteen_messages_are_sent() -> None:
    assert len(SendMessage().calls_for("\n".join(f"tell coder: {number}" for number in range(20)))) == 16


@pytest.mark.requirement("TLS-1", "A2A-1")
async def test_messages_are_part_of_the_result_and_recorded_as_tool_calls(resource: ModelService) -> None:
    model = ModelClient("smollm2", "127.0.0.1:1")
    request = capability_pb2.InvokeRequest(
        prompt="tell coder: add a test", messages=[message_pb2.AgentMessage(payload="send to reviewer: be quick")]
    )
    answer = answer_with(Toolbox([Calculator(), SendMessage()]), model, resource)
    text, result = [item async for item in answer(request, 5.0)]
    await model.close()
    assert isinstance(result, capability_pb2.InvokeResult)
    assert [(each.recipient_role, each.payload) for each in result.messages] == [
        ("coder", "add a test"),
        ("reviewer", "be quick"),
    ]
    assert [(call.name, json.loads(call.arguments), call.result) for call in result.tool_calls] == [
        ("sendMessage", {"recipient": "coder", "payload": "add a test"}, "handed over for coder"),
        ("sendMessage", {"recipient": "reviewer", "payload": "be quick"}, "handed over for reviewer"),
    ]
    assert text == (
        "Message to coder: add a test\nMessage to reviewer: be quick\n"
        "Only sendMessage applies to this request; no model was asked."
    )
