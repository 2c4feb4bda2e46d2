"""What a tool is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from milepost.capability.v1 import capability_pb2

Arguments = Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """What a call gave: the result as it is recorded, a line of the answer, and messages to send with the step."""

    result: str
    line: str
    messages: Sequence[capability_pb2.OutgoingMessage] = ()


class Tool(Protocol):
    """Something that can be called with arguments found in a text."""

    @property
    def name(self) -> str:
        """What a caller sees, for example `calculator`."""
        ...

    @property
    def description(self) -> str:
        """What it does and when it fits, for the model that chooses."""
        ...

    def calls_for(self, text: str) -> Sequence[Arguments]:
        """The calls that a text asks for; none when the tool cannot apply to it."""
        ...

    def call(self, arguments: Arguments) -> Outcome:
        """Does it; ToolError when it cannot be done."""
        ...
