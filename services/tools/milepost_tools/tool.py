"""What a tool is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from milepost.capability.v1 import capability_pb2

Arguments = Mapping[str, Any]
"""JSON values by name."""

Schema = Mapping[str, Any]
"""A JSON schema whose values are objects."""

MAX_RESULT_CHARACTERS = 32_768


@dataclass(frozen=True)
class Outcome:
    """What a call gave: the result as it is recorded, a line of the answer, and messages to send with the step."""

    result: str
    line: str
    messages: Sequence[capability_pb2.OutgoingMessage] = ()


class Tool(Protocol):
    """Something that can be called with arguments found in a text, or written by a model."""

    @property
    def name(self) -> str:
        """What a caller sees, for example `calculator`."""
        ...

    @property
    def description(self) -> str:
        """What it does and when it fits, for the model that chooses."""
        ...

    @property
    def kind(self) -> str:
        """`gen_ai.tool.type`: `function` where this process does the work, `extension` where another does."""
        ...

    async def call(self, arguments: Arguments, key: str) -> Outcome:
        """Does it; ToolError when it cannot be done. Whoever calls bounds the time, and ends it by cancelling.

        `key` is the same when the same call of a step is made again; empty where the step has no id.
        """
        ...


class TextTool(Tool, Protocol):
    """A tool that reads its arguments from a text by itself."""

    def calls_for(self, text: str) -> Sequence[Arguments]:
        """The calls that a text asks for; none when the tool cannot apply to it."""
        ...


class SchemaTool(Tool, Protocol):
    """A tool whose arguments a model writes."""

    @property
    def schema(self) -> Schema:
        """What the arguments must satisfy."""
        ...


def shortened(text: str, limit: int = MAX_RESULT_CHARACTERS) -> str:
    """The text, cut where it is longer than `limit` characters, with a note of how much there was."""
    return text if len(text) <= limit else f"{text[:limit]}\n[cut after {limit} of {len(text)} characters]"
