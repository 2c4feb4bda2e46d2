"""One TCP connection to a port of a pod, through the API server: the port forwarding of Kubernetes over a websocket.

Protocol `v4.channel.k8s.io`: the first byte of every binary message is its channel. Of one forwarded port, channel 0 is
the data and channel 1 what went wrong; the first message of each repeats the port number and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from milepost_cli.cluster.access import Access
from milepost_cli.cluster.errors import DialError, RefusedError
from milepost_cli.text import one_line

PROTOCOL = Subprotocol("v4.channel.k8s.io")
DATA, ERROR = 0, 1
OPEN_TIMEOUT = 10.0  # seconds for TCP, TLS and the answer of the API server
CLOSE_TIMEOUT = 1.0
LARGEST_MESSAGE = 2**24
REFUSALS = (401, 403)


class PodStream:
    """An open connection to a port of a pod. `receive` and `send` wait when the other side is slower."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self._opened: set[int] = set()

    async def receive(self) -> bytes:
        """The next bytes; empty at the end. Raises DialError when the pod refused the connection."""
        while True:
            try:
                message = await self._websocket.recv(decode=False)
            except (ConnectionClosed, OSError):
                return b""
            channel, content = message[0], message[1:]
            if channel not in self._opened:
                self._opened.add(channel)
            elif channel == ERROR and content:
                raise DialError(one_line(content.decode(errors="replace"), 300))
            elif channel == DATA and content:
                return content

    async def send(self, content: bytes) -> None:
        """Raises DialError when the connection is over."""
        try:
            await self._websocket.send(bytes((DATA,)) + content)
        except (ConnectionClosed, OSError) as error:
            raise DialError(one_line(str(error), 300)) from error

    async def close(self) -> None:
        """Ends the connection in order; one that is cancelled meanwhile is cut, and leaves no socket behind."""
        try:
            await self._websocket.close()
        except asyncio.CancelledError:
            self._websocket.transport.abort()
            raise


@dataclass(frozen=True)
class PortForwardDialer:
    """Opens connections to pods of one namespace with the rights of `access`."""

    access: Access
    namespace: str
    _tls: ssl.SSLContext | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tls", self.access.tls_context())

    async def dial(self, pod: str, port: int) -> PodStream:
        """Raises RefusedError when it is not allowed, DialError when it cannot be done now."""
        path = f"/api/v1/namespaces/{quote(self.namespace)}/pods/{quote(pod)}/portforward?ports={port}"
        try:
            return PodStream(await connect(self.access.websocket_url(path), **self._options()))
        except InvalidStatus as error:
            message = _status_message(error.response.body) or f"the API server answered {error.response.status_code}"
            if error.response.status_code in REFUSALS:
                raise RefusedError(message, error.response.status_code) from error
            raise DialError(message) from error
        except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
            raise DialError(f"the API server at {self.access.host} cannot be reached: {_words(error)}") from error

    def _options(self) -> Mapping[str, Any]:
        """gRPC pings through the connection, so the websocket need not; compression only costs time here."""
        options: dict[str, Any] = {
            "subprotocols": [PROTOCOL],
            "additional_headers": self.access.headers(),
            "compression": None,
            "open_timeout": OPEN_TIMEOUT,
            "close_timeout": CLOSE_TIMEOUT,
            "ping_interval": None,
            "max_size": LARGEST_MESSAGE,
            "proxy": self.access.proxy,
            "user_agent_header": None,
        }
        if self._tls is not None:
            options["ssl"] = self._tls
            if self.access.server_name:
                options["server_hostname"] = self.access.server_name
        return options


def _status_message(body: bytes | bytearray | None) -> str:
    """What a Kubernetes Status says, or the text itself."""
    text = bytes(body or b"").decode(errors="replace")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["message"])
    return one_line(text, 400)


def _words(error: BaseException) -> str:
    return one_line(str(error), 200) or type(error).__name__
