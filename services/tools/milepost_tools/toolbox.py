"""All tools of a service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from milepost_tools.tool import SchemaTool, TextTool


class ToolServer(Protocol):
    """Another process that offers tools; they come and go."""

    @property
    def name(self) -> str:
        """Name in the manifest."""
        ...

    @property
    def tools(self) -> Sequence[SchemaTool]:
        """What it offers now; nothing while it is away."""
        ...

    @property
    def trouble(self) -> str:
        """Why it is away, in one line; empty while it is there."""
        ...

    @property
    def summary(self) -> str:
        """How it is, for people, in one line."""
        ...


@dataclass(frozen=True)
class Toolbox:
    """Tools that read their arguments from a text, and servers with tools whose arguments a model writes."""

    text_tools: Sequence[TextTool]
    servers: Sequence[ToolServer] = ()

    @property
    def schema_tools(self) -> Sequence[SchemaTool]:
        """What the servers offer now."""
        return list(chain.from_iterable(server.tools for server in self.servers))

    @property
    def troubles(self) -> Sequence[str]:
        """A line for each server that is away."""
        return [f"{server.name}: {server.trouble}" for server in self.servers if server.trouble]

    def details(self) -> Mapping[str, str]:
        """What the service tells of its tools."""
        names = [tool.name for tool in (*self.text_tools, *self.schema_tools)]
        servers = {f"mcp.{server.name}": server.summary for server in self.servers}
        return {"tools": _listed(names)} | servers


def _listed(names: Sequence[str], most: int = 32) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
