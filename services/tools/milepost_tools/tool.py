"""What a tool is."""

from collections.abc import Mapping, Sequence
from typing import Protocol

Arguments = Mapping[str, str]


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

    def call(self, arguments: Arguments) -> str:
        """The result as one line; ToolError when there is none."""
        ...
