"""What can be wrong with what the command is given."""

from __future__ import annotations

from milepost_agent.errors import AgentError


class EvaluationError(AgentError):
    """A file or an option that cannot be used. Its text is one line: where, what is wrong, what is allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """`text` on one line that a terminal takes: names of files end up in it."""
    return "".join(each if each.isprintable() else " " for each in text)
