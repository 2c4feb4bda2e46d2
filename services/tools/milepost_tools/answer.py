"""Invoke over tools: which can apply, which is chosen, what they said. Every call is recorded."""

import asyncio
import json
from collections.abc import AsyncGenerator

from opentelemetry.trace import Span, Status, StatusCode

from milepost.capability.v1 import capability_pb2
from milepost_crds import ModelService
from milepost_service.correlation import current_correlation_id
from milepost_service.model_client import ModelClient
from milepost_service.servicer import Answer
from milepost_service.telemetry import tracer
from milepost_service.telemetry.conventions import Attributes, Kinds, Operations, Spans
from milepost_tools.choosing import choose
from milepost_tools.errors import ToolError
from milepost_tools.step_ledger import CompletedCall, PlannedCall, Step, StepLedger
from milepost_tools.tool import Outcome
from milepost_tools.toolbox import Toolbox

CALL_SECONDS = 60.0
_SHARE_OF_TIME = 0.8  # the rest is for the verdict, and for an answer that tells of the call that took too long
_SHOWN = 2_000  # characters of a text that the model, or who reads a span, sees

Result = capability_pb2.InvokeResult


def answer_with(toolbox: Toolbox, model: ModelClient, resource: ModelService) -> Answer:
    """Invoke of a `tools` service."""
    ledger = StepLedger()

    async def answer(request: capability_pb2.InvokeRequest, seconds_left: float) -> AsyncGenerator[str | Result, None]:
        ends = asyncio.get_running_loop().time() + seconds_left
        text = "\n".join([request.prompt, *(message.payload for message in request.messages)])
        step = ledger.step(request)
        if step.choice is None:
            step.choice = await choose(text, toolbox, model, resource, seconds_left)
        result = Result()
        lines = [*[line async for line in _calls(step, result, ends)], step.choice.reason]
        made = "\n".join(lines)
        yield made
        if request.verdicts:
            question = f"What is your verdict? Answer with one of: {', '.join(request.verdicts)}."
            messages = [("user", text[:_SHOWN]), ("assistant", made[:_SHOWN]), ("user", question)]
            left = ends - asyncio.get_running_loop().time()
            result.verdict = (await model.choose(messages, list(request.verdicts), timeout=left)).option
        yield result

    return answer


async def _calls(step: Step, result: Result, ends: float) -> AsyncGenerator[str, None]:
    """Makes the calls of a step that are not made yet, records all in the result, and gives a line for each."""
    assert step.choice is not None
    for number, planned in enumerate(step.choice.calls):
        key = f"{step.call_id}#{number + 1}" if step.call_id else ""
        known = step.completed[number] if number < len(step.completed) else None
        left = (ends - asyncio.get_running_loop().time()) * _SHARE_OF_TIME
        completed = await _traced(planned, step.call_id, key, known, min(CALL_SECONDS, left))
        if known is None:
            step.completed.append(completed)
        result.tool_calls.append(completed.record)
        result.messages.extend(completed.messages)
        yield completed.line


async def _traced(
    planned: PlannedCall, call_id: str, key: str, known: CompletedCall | None, timeout: float
) -> CompletedCall:
    """The call, made now or completed before, as a span."""
    arguments = json.dumps(dict(planned.arguments), ensure_ascii=False)
    attributes: dict[str, str | bool] = {
        Attributes.CORRELATION_ID: current_correlation_id(),
        Attributes.GEN_AI_OPERATION_NAME: Operations.EXECUTE_TOOL,
        Attributes.OPENINFERENCE_SPAN_KIND: Kinds.TOOL,
        Attributes.GEN_AI_TOOL_NAME: planned.tool.name,
        Attributes.GEN_AI_TOOL_TYPE: planned.tool.kind,
        Attributes.GEN_AI_TOOL_CALL_ARGUMENTS: arguments[:_SHOWN],
        Attributes.REPLAYED: known is not None,
    }
    if key:
        attributes |= {Attributes.CALL_ID: call_id, Attributes.GEN_AI_TOOL_CALL_ID: key}
    with tracer().start_as_current_span(Spans.TOOL_CALL, attributes=attributes) as span:
        completed = known or await _completed(planned, arguments, key, timeout, span)
        if not completed.record.error:
            span.set_attribute(Attributes.GEN_AI_TOOL_CALL_RESULT, completed.record.result[:_SHOWN])
        return completed


async def _completed(planned: PlannedCall, arguments: str, key: str, timeout: float, span: Span) -> CompletedCall:
    tool = planned.tool
    record = capability_pb2.ToolCall(name=tool.name, arguments=arguments)
    try:
        outcome = await _within(timeout, planned, key)
    except ToolError as error:
        record.error = str(error)
        span.set_attribute(Attributes.ERROR_TYPE, type(error).__name__)
        span.set_status(Status(StatusCode.ERROR, record.error))
        shown = ", ".join(str(value) for value in planned.arguments.values())[:_SHOWN]
        return CompletedCall(record, f"{tool.name} {shown}: {record.error}")
    record.result = outcome.result
    return CompletedCall(record, outcome.line, outcome.messages)


async def _within(seconds: float, planned: PlannedCall, key: str) -> Outcome:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await planned.tool.call(planned.arguments, key)
    except TimeoutError:
        if not limit.expired():
            raise
        raise ToolError(f"gave no answer within {seconds:.1f} s and was told to stop") from None
