"""Which tool answers a request, and with which arguments."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from milepost.model.v1 import model_pb2
from milepost_crds import ModelService
from milepost_service.errors import UnavailableError
from milepost_service.model_client import ModelClient
from milepost_tools.decoding import choice_schema, signature
from milepost_tools.narrowing import best_matches
from milepost_tools.step_ledger import Choice, PlannedCall
from milepost_tools.tool import Arguments, SchemaTool, TextTool
from milepost_tools.toolbox import Toolbox

MAX_OFFERED = 6
"""Tools that one prompt may offer beside those that read their arguments themselves."""

NONE = "none"
_SHOWN = 2_000  # characters of the request that the model sees
_RETRY_SECONDS = 2.0


class Applicable(NamedTuple):
    """A tool, and the calls that it found in the text."""

    tool: TextTool
    calls: Sequence[Arguments]


async def choose(
    text: str, toolbox: Toolbox, model: ModelClient, resource: ModelService, seconds_left: float
) -> Choice:
    """The calls that the text asks for.

    A tool that reads its arguments from the text comes into question when it finds some; one with a schema always
    does, and among many those whose words the text has. One model answers which, and with which arguments, as JSON
    of the schemas of those. It is not asked where it has no choice.

    Raises:
        UnavailableError: nothing applies, and a server of tools is away.
        ServiceError: the model cannot be asked.
    """
    applicable = [Applicable(tool, calls) for tool in toolbox.text_tools if (calls := tool.calls_for(text))]
    offered = best_matches(text, toolbox.schema_tools, MAX_OFFERED)
    system = resource.spec.system_prompt or "You choose the one tool that answers the request."
    if offered:
        most = resource.spec.generation.max_tokens
        return await _decoded(text, applicable, offered, model, system, most, seconds_left)
    if len(applicable) > 1:
        return await _scored(text, applicable, model, system, seconds_left)
    if applicable:
        tool = applicable[0].tool
        return _choice(applicable[0], f"Only {tool.name} applies to this request; no model was asked.")
    if toolbox.troubles:
        raise UnavailableError(
            f"no tool applies, and MCP servers are away: {'; '.join(toolbox.troubles)}", retry_after=_RETRY_SECONDS
        )
    names = ", ".join(tool.name for tool in toolbox.text_tools)
    return Choice([], f"No tool applies to this request. There are: {names}.")


async def _scored(
    text: str, applicable: Sequence[Applicable], model: ModelClient, system: str, seconds_left: float
) -> Choice:
    names = [tool.name for tool, _ in applicable]
    listed = "\n".join(f"{tool.name}: {tool.description}" for tool, _ in applicable)
    messages = [
        ("system", f"{system}\nTools:\n{listed}\nAnswer with the name of one tool."),
        ("user", text[:_SHOWN]),
    ]
    decision = await model.choose(messages, names, timeout=seconds_left)
    odds = ", ".join(f"{name} {share:.2f}" for name, share in zip(names, decision.probabilities, strict=True))
    return _choice(applicable[names.index(decision.option)], f"The model chose {decision.option} ({odds}).")


async def _decoded(
    text: str,
    applicable: Sequence[Applicable],
    offered: Sequence[SchemaTool],
    model: ModelClient,
    system: str,
    max_tokens: int,
    seconds_left: float,
) -> Choice:
    names = [tool.name for tool, _ in applicable]
    schema, offered = choice_schema([*names, NONE], offered)
    listed = "\n".join([*(f"{tool.name}: {tool.description}" for tool, _ in applicable), *map(signature, offered)])
    asked = f"Answer with JSON: the tool and its arguments, or {NONE}."
    messages = [("system", f"{system}\nTools:\n{listed}\n{asked}"), ("user", text[:_SHOWN])]
    written = await _written(model, messages, schema, max_tokens, seconds_left)
    name, arguments = (written.get("tool"), written.get("arguments")) if isinstance(written, dict) else (None, None)
    for found in applicable:
        if found.tool.name == name:
            return _choice(found, f"The model chose {name}.")
    for tool in offered:
        if tool.name == name and isinstance(arguments, dict):
            return Choice([PlannedCall(tool, arguments)], f"The model chose {name} and its arguments.")
    if name == NONE:
        return Choice([], "The model found that no tool applies to this request.")
    return Choice([], f"The model wrote no choice within {max_tokens} tokens (spec.generation.maxTokens).")


async def _written(
    model: ModelClient, messages: Sequence[tuple[str, str]], schema: str, max_tokens: int, seconds_left: float
) -> Any:
    """The JSON that the model wrote; None where it was cut off."""
    made: list[str] = []
    async for item in model.generate(
        messages, max_tokens=max_tokens, timeout=seconds_left, json_schema=schema, temperature=0.0
    ):
        if isinstance(item, model_pb2.GenerateResult):
            break
        made.append(item)
    try:
        return json.loads("".join(made))
    except ValueError:
        return None


def _choice(found: Applicable, reason: str) -> Choice:
    return Choice([PlannedCall(found.tool, arguments) for arguments in found.calls], reason)
