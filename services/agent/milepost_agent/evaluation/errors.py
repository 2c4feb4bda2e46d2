"""What can be wrong with what the command is given."""

from __future__ import annotations

from milepost_agent.errors import AgentError


class EvaluationError(AgentError):
    """An input or output file that cannot be used. Its text is one line: where, what, what is allowed."""
