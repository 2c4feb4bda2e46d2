"""Servers of the Model Context Protocol, whose tools are offered beside the built-in ones.

The client is the official SDK's. Its transports read messages of any size, so what they read is bounded here.
"""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Of one message of a server."""
