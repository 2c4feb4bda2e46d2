"""Tool calls: how a model is told of its tools, what holds it to their schemas, and what it made of them.

A call is written as many open models have learned it: a JSON object with name and arguments between two tags.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from milepost_model.http.parameters import Tool
from milepost_model.json_schema import Grammar
from milepost_service.errors import InvalidArgumentError

TAG = "<tool_call>"
_BEFORE_NAME = '\n{"name": "'
_BEFORE_ARGUMENTS = '", "arguments": '
_END = "}\n</tool_call>"


def instructions(tools: Sequence[Tool], *, is_required: bool) -> str:
    """What the system turn says of the tools."""
    described = "\n".join(json.dumps(_described(tool), ensure_ascii=False) for tool in tools)
    when = "Call one of them" if is_required else "When one of them helps, call it"
    return f"You have these functions:\n<tools>\n{described}\n</tools>\n{when} by writing\n{written('NAME', '{...}')}"


def written(name: str, arguments: str) -> str:
    """A call as the model writes it."""
    return f"{TAG}{_BEFORE_NAME}{name}{_BEFORE_ARGUMENTS}{arguments}{_END}"


def add_call(grammar: Grammar, tools: Sequence[Tool]) -> str:
    """A rule for what follows the tag, a call of one of the tools.

    Raises:
        InvalidArgumentError: names the schema that an answer cannot be held to.
    """
    calls = [
        grammar.add(f"{literal(tool.function.name + _BEFORE_ARGUMENTS)} {_add_arguments(grammar, tool, index)}")
        for index, tool in enumerate(tools)
    ]
    return grammar.add(f"{literal(_BEFORE_NAME)} ({' | '.join(calls)}) {literal(_END)}")


def add_text_before(grammar: Grammar, call: str) -> str:
    """A rule for any text, which a call ends as soon as its tag is there.

    The rules are the states of a search for the tag. Its first letter is at no other place in it, so that a letter
    that does not go on with the tag begins anew.
    """
    states = [*(grammar.add("") for _ in TAG), call]
    for index, letter in enumerate(TAG):
        anew = f'"{TAG[0]}" {states[1]} | ' if index else ""
        others = f"[^{letter}{TAG[0] if index else ''}] {states[0]}"
        grammar.define(states[index], f'"{letter}" {states[index + 1]} | {anew}{others} | ""')
    return states[0]


def _add_arguments(grammar: Grammar, tool: Tool, index: int) -> str:
    parameters, where = tool.function.parameters, f"tools[{index}].function.parameters"
    if parameters.get("type", "object") != "object":
        raise InvalidArgumentError(f"{where}.type: is {parameters['type']!r:.40}; allowed: object")
    if not parameters.get("properties"):
        return '"{}"'
    return grammar.add_schema(dict(parameters), where)


def literal(text: str) -> str:
    """The text in the notation of grammars."""
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True)
class Content:
    """Text for the reader."""

    text: str


@dataclass(frozen=True)
class CallBegun:
    """A call of the tool of this name begins."""

    name: str


@dataclass(frozen=True)
class Arguments:
    """A piece of the JSON of the call that has begun."""

    text: str


Event = Content | CallBegun | Arguments


class ToolCallReader:
    """Feed it the model's text as it comes; it tells what is content and what a call."""

    def __init__(self) -> None:
        self.is_whole = False
        """True once a call was read to its end."""
        self._held = ""
        self._reads: Literal["content", "name", "arguments"] = "content"

    def push(self, text: str) -> list[Event]:
        """What can be told by now."""
        self._held += text
        events: list[Event] = []
        if self._reads == "content":
            events += self._read_content()
        if self._reads == "name":
            name, mark, rest = self._held.partition(_BEFORE_ARGUMENTS)
            if mark:
                events.append(CallBegun(name))
                self._reads, self._held = "arguments", rest
        if self._reads == "arguments" and (ready := self._held[: -len(_END)]):
            events.append(Arguments(ready))
            self._held = self._held[-len(_END) :]
        return events

    def finish(self) -> list[Event]:
        """What was held back. A call that was cut off ends where the model was stopped."""
        if self._reads == "content":
            return [Content(self._held)] if self._held else []
        if self._reads == "name":
            return []
        over = _overlap(self._held, _END)
        self.is_whole = over == len(_END)
        rest = self._held[: len(self._held) - over] if over > 1 else self._held  # one brace may be the arguments' own
        return [Arguments(rest)] if rest else []

    def _read_content(self) -> list[Event]:
        mark = TAG + _BEFORE_NAME
        before, found, rest = self._held.partition(mark)
        if found:
            self._reads, self._held = "name", rest
        else:
            keep = _overlap(before, mark)
            before, self._held = before[: len(before) - keep], before[len(before) - keep :]
        return [Content(before)] if before else []


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of the text that the mark begins with."""
    return next((size for size in range(min(len(text), len(mark)), 0, -1) if text.endswith(mark[:size])), 0)


def _described(tool: Tool) -> dict[str, object]:
    function = tool.function
    return {"name": function.name, "description": function.description, "parameters": dict(function.parameters)}
