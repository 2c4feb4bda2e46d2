"""A way to a server: what a transport is to the SDK, and why it came to an end."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

Streams = tuple[Any, Any]
"""Messages from the server, and messages to it, as the SDK's Transport gives them."""


class Link(AbstractAsyncContextManager[Streams]):
    """One connection. `ended` is set when the server is gone; `why` says so in words, empty where nothing is known."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.why = ""

    def end(self, why: str) -> None:
        """Notes the first reason; later ones follow from it."""
        if not self.ended.is_set():
            self.why = why
            self.ended.set()
