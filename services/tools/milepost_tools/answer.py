"""Invoke over tools: which can apply, which is chosen, what they said. Every call is recorded."""

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from opentelemetry.trace import Status, StatusCode

from milepost.capability.v1 import capability_pb2
from milepost_crds import ModelService
from milepost_service.calls import served_call_id
from milepost_service.correlation import current_correlation_id
from milepost_service.model_client import ModelClient
from milepost_service.servicer import Answer
from milepost_service.telemetry import tracer
from milepost_service.telemetry.conventions import Attributes, Kinds, Operations, Spans
from milepost_tools.errors import ToolError
from milepost_tools.tool import Arguments, Tool

_SHOWN = 2_000  # characters of a text that the choosing model, or who reads a span, sees

Result = capability_pb2.InvokeResult


@dataclass(frozen=True)
class Chosen:
    """A tool, the calls to make, and why it."""

    tool: Tool
    calls: Sequence[Arguments]
    reason: str


def answer_with(tools: Sequence[Tool], model: ModelClient, resource: ModelService) -> Answer:
    """Invoke of a `tools` service."""

    async def answer(request: capability_pb2.InvokeRequest, seconds_left: float) -> AsyncGenerator[str | Result, None]:
        text = "\n".join([request.prompt, *(message.payload for message in request.messages)])
        chosen = await _choose(text, tools, model, resource, seconds_left)
        result = Result()
        if chosen is None:
            names = ", ".join(tool.name for tool in tools)
            lines = [f"No tool applies to this request. There are: {names}."]
        else:
            lines = [*(_call(chosen.tool, arguments, result) for arguments in chosen.calls), chosen.reason]
        made = "\n".join(lines)
        yield made
        if request.verdicts:
            question = f"What is your verdict? Answer with one of: {', '.join(request.verdicts)}."
            messages = [("user", text[:_SHOWN]), ("assistant", made), ("user", question)]
            decision = await model.choose(messages, list(request.verdicts), timeout=seconds_left)
            result.verdict = decision.option
        yield result

    return answer


async def _choose(
    text: str, tools: Sequence[Tool], model: ModelClient, resource: ModelService, seconds_left: float
) -> Chosen | None:
    applicable = [(tool, calls) for tool in tools if (calls := tool.calls_for(text))]
    if not applicable:
        return None
    if len(applicable) == 1:
        tool, calls = applicable[0]
        return Chosen(tool, calls, f"Only {tool.name} applies to this request; no model was asked.")
    names = [tool.name for tool, _ in applicable]
    listed = "\n".join(f"{tool.name}: {tool.description}" for tool, _ in applicable)
    system = resource.spec.system_prompt or "You choose the one tool that answers the request."
    messages = [
        ("system", f"{system}\nTools:\n{listed}\nAnswer with the name of one tool."),
        ("user", text[:_SHOWN]),
    ]
    decision = await model.choose(messages, names, timeout=seconds_left)
    place = names.index(decision.option)
    odds = ", ".join(f"{name} {share:.2f}" for name, share in zip(names, decision.probabilities, strict=True))
    tool, calls = applicable[place]
    return Chosen(tool, calls, f"The model chose {tool.name} ({odds}).")


def _call(tool: Tool, arguments: Arguments, result: Result) -> str:
    """Calls the tool, records that in the result, and returns a line for the answer."""
    call = result.tool_calls.add(name=tool.name, arguments=json.dumps(dict(arguments), ensure_ascii=False))
    key = served_call_id()
    attributes: dict[str, str | bool] = {
        Attributes.CORRELATION_ID: current_correlation_id(),
        Attributes.GEN_AI_OPERATION_NAME: Operations.EXECUTE_TOOL,
        Attributes.OPENINFERENCE_SPAN_KIND: Kinds.TOOL,
        Attributes.GEN_AI_TOOL_NAME: tool.name,
        Attributes.GEN_AI_TOOL_TYPE: "function",
        Attributes.GEN_AI_TOOL_CALL_ARGUMENTS: call.arguments[:_SHOWN],
        Attributes.REPLAYED: False,
    }
    if key:
        attributes |= {Attributes.CALL_ID: key, Attributes.GEN_AI_TOOL_CALL_ID: f"{key}#{len(result.tool_calls)}"}
    with tracer().start_as_current_span(Spans.TOOL_CALL, attributes=attributes) as span:
        try:
            outcome = tool.call(arguments)
        except ToolError as error:
            call.error = str(error)
            span.set_attribute(Attributes.ERROR_TYPE, type(error).__name__)
            span.set_status(Status(StatusCode.ERROR, call.error))
            return f"{tool.name} {', '.join(arguments.values())}: {call.error}"
        call.result = outcome.result
        result.messages.extend(outcome.messages)
        span.set_attribute(Attributes.GEN_AI_TOOL_CALL_RESULT, call.result[:_SHOWN])
    return outcome.line
