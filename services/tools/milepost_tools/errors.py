"""What can go wrong inside of a tool."""

from milepost_service.errors import MilepostError


class ToolError(MilepostError):
    """The tool was called and could not do it; recorded with the call, and part of the answer."""


class ExpressionError(ToolError):
    """An arithmetic expression that has no value within the limits."""


__all__ = ["ExpressionError", "ToolError"]
