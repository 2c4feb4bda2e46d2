"""One server, kept connected, with the tools that it offers now."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import anyio
from mcp import Client, MCPError, types
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from pydantic import ValidationError

from milepost_crds import McpServer as McpServerSpec
from milepost_tools.errors import ServerLostError, ToolError
from milepost_tools.mcp_servers.http_link import HttpLink
from milepost_tools.mcp_servers.link import Link
from milepost_tools.mcp_servers.listing import listed
from milepost_tools.mcp_servers.mcp_tool import McpTool
from milepost_tools.mcp_servers.stdio_link import StdioLink
from milepost_tools.tool import Arguments

CALL_ID_META = "milepost.dev/callId"
"""Key in `_meta` of a call: its value is the same when the same call of a step is made again."""

_CONNECT_SECONDS = 60.0  # a program may have to be fetched before it starts
_LIST_SECONDS = 20.0
_RELIST_SECONDS = 60.0  # also finds a server that is gone without a word, and a change that nobody told of
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 10.0  # a server that was there for so long is tried again soon
_SESSION_GONE = "Session terminated"
_log = logging.getLogger(__name__)


class McpServer:
    """Connects, lists the tools, lists them anew when they change, and connects again, later each time it fails."""

    def __init__(self, spec: McpServerSpec) -> None:
        self.name = spec.name
        self.tools: Sequence[McpTool] = ()
        self.trouble = "was not reached yet"
        self._left_out = ""
        self._make_link = _links(spec)
        self._link: Link | None = None
        self._client: Client | None = None
        self._tried = asyncio.Event()
        self._stale = asyncio.Event()
        self._pause = _FIRST_PAUSE
        self._listed_at = math.inf
        self._task: asyncio.Task[None] | None = None

    @property
    def summary(self) -> str:
        """`12 tools`, with what was left out, or why it is away."""
        if self.trouble:
            return f"away: {self.trouble}"
        return f"{len(self.tools)} tools" + (f"; {self._left_out}" if self._left_out else "")

    async def start(self, patience: float) -> None:
        """Begins to keep the connection; returns when the first try has ended, or after `patience` seconds."""
        self._task = asyncio.create_task(self._keep())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), patience)

    async def close(self) -> None:
        """Ends the connection, and the process of a server that is a child."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def call(self, name: str, arguments: Arguments, key: str) -> types.CallToolResult:
        """Calls a tool by the server's own name. Cancelling tells the server. ToolError when there is no result."""
        client, link = self._client, self._link
        if client is None or link is None or link.ended.is_set():
            why = self.trouble or (link.why if link is not None else "")
            raise ToolError(f"the MCP server {self.name} is away: {_line(why)}")
        meta = cast(types.RequestParamsMeta, {CALL_ID_META: key}) if key else None
        try:
            return await client.session.call_tool(name, dict(arguments), meta=meta)
        except MCPError as error:
            if error.error.message == _SESSION_GONE:
                link.end("has forgotten the session")
            if error.code == types.CONNECTION_CLOSED:
                why = link.why or error.error.message
                raise ToolError(f"the MCP server {self.name} was lost during the call: {_line(why)}") from None
            raise ToolError(f"the MCP server {self.name} answered: {_line(error.error.message)}") from None
        except (RuntimeError, ValidationError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ToolError(f"the MCP server {self.name} gave no usable result: {_line(str(error))}") from None

    async def _keep(self) -> None:
        while True:
            self._listed_at = math.inf
            try:
                await self._connected()
            except Exception as error:
                self.trouble = _line(_reason(error))
            self._tried.set()
            if time.monotonic() - self._listed_at > _STEADY_SECONDS:
                self._pause = _FIRST_PAUSE
            _log.warning("MCP server %s is away: %s; next try in %.1f s", self.name, self.trouble, self._pause)
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _connected(self) -> None:
        """Lasts as long as the connection; always ends by an exception."""
        self._link = link = self._make_link()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS) as limit, self._client_over(link) as client:
                limit.reschedule(None)
                await self._follow(client, link)
        except TimeoutError:
            raise ServerLostError(link.why or f"gave no answer within {_CONNECT_SECONDS:.0f} s") from None
        except Exception:
            if link.why:
                raise ServerLostError(link.why) from None
            raise
        finally:
            self._client, self._link, self.tools = None, None, ()

    def _client_over(self, link: Link) -> Client:
        info = types.Implementation(name="milepost-tools", version="0.1.0")
        return Client(link, message_handler=self._hear, client_info=info, cache=None)

    async def _hear(self, message: IncomingMessage) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._stale.set()

    async def _follow(self, client: Client, link: Link) -> None:
        """Lists the tools, and again whenever they may have changed, until the server is lost."""
        listening = asyncio.create_task(self._listen(client))
        ended = asyncio.create_task(link.ended.wait())
        try:
            while not link.ended.is_set():
                self._stale.clear()
                await self._list(client)
                stale = asyncio.create_task(self._stale.wait())
                await asyncio.wait({stale, ended}, timeout=_RELIST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                stale.cancel()
            raise ServerLostError(link.why or "closed the connection")
        finally:
            for task in (listening, ended):
                task.cancel()
            await asyncio.gather(listening, ended, return_exceptions=True)

    async def _list(self, client: Client) -> None:
        try:
            async with asyncio.timeout(_LIST_SECONDS):
                listing = await listed(client)
        except TimeoutError:
            raise ServerLostError(f"did not list its tools within {_LIST_SECONDS:.0f} s") from None
        left_out = "; ".join(listing.left_out)
        if left_out != self._left_out and left_out:
            _log.warning("MCP server %s: %s", self.name, left_out)
        self.tools = [McpTool.of(self.name, tool, self.call) for tool in listing.tools]
        self.trouble, self._left_out, self._client = "", left_out, client
        self._listed_at = min(self._listed_at, time.monotonic())
        self._tried.set()

    async def _listen(self, client: Client) -> None:
        """Hears of changes where the protocol has a stream for them; where not, notifications come by themselves."""
        while True:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    async for _ in changes:
                        self._stale.set()
            except ListenNotSupportedError:
                return
            except (MCPError, SubscriptionLost, TimeoutError):
                self._stale.set()
            await asyncio.sleep(_LONGEST_PAUSE)


def _links(spec: McpServerSpec) -> Callable[[], Link]:
    if spec.url is not None:
        url = spec.url
        return lambda: HttpLink(url)
    assert spec.command is not None
    command = spec.command
    return lambda: StdioLink(command)


def _reason(error: Any) -> str:
    """The text of an error, of the first one where several came together."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MCPError):
        return error.error.message
    return str(error) or type(error).__name__


def _line(text: str) -> str:
    """The text in one line of at most 300 characters."""
    return " ".join(text.split())[:300]
