"""What can go wrong inside of a tool."""

from milepost_service.errors import MilepostError


class ToolError(MilepostError):
    """The tool was called and could not do it; recorded with the call, and part of the answer."""


class ExpressionError(ToolError):
    """An arithmetic expression that has no value within the limits."""


class ServerLostError(MilepostError):
    """The connection to a server of tools came to an end. The text says why."""


__all__ = ["ExpressionError", "ServerLostError", "ToolError"]
