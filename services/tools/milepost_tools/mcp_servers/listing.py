"""What a server offers, within bounds: how many tools, and how large each may be."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mcp import Client, types

MAX_TOOLS = 256
MAX_PAGES = 64
MAX_SCHEMA_BYTES = 8 * 1024
MAX_DESCRIPTION = 1_000  # characters
_NAME = re.compile(r"[\w./-]{1,128}", re.ASCII)


@dataclass
class Listing:
    """Tools of a server, each name once, and a line for each kind of tool that is left out."""

    tools: list[types.Tool] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


async def listed(client: Client) -> Listing:
    """All tools of the server, page by page, until there are 256. Raises what the SDK raises."""
    found: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        found.extend(page.tools)
        cursor = page.next_cursor
        if cursor is None or len(found) > MAX_TOOLS:
            break
    return bounded(found, more=cursor is not None)


def bounded(found: Sequence[types.Tool], *, more: bool = False) -> Listing:
    """The tools that are offered; `more` says that the server has some that were not asked for."""
    listing = Listing()
    names: set[str] = set()
    refused: dict[str, list[str]] = {}
    for tool in found:
        problem = _problem(tool, names)
        if problem:
            refused.setdefault(problem, []).append(tool.name)
            continue
        names.add(tool.name)
        listing.tools.append(tool)
    if more or len(listing.tools) > MAX_TOOLS:
        listing.left_out.append(f"offers more than {MAX_TOOLS} tools, the first {MAX_TOOLS} are used")
        del listing.tools[MAX_TOOLS:]
    listing.left_out += [f"{len(each)} left out, {problem}: {_first(each)}" for problem, each in refused.items()]
    return listing


def _problem(tool: types.Tool, names: set[str]) -> str:
    if not _NAME.fullmatch(tool.name):
        return "a name has other characters than letters, digits, _ - . / or more than 128 of them"
    if tool.name in names:
        return "a name is there twice"
    if tool.input_schema.get("type") != "object" or not isinstance(tool.input_schema.get("properties", {}), dict):
        return "a schema is none of objects"
    if len(json.dumps(tool.input_schema)) > MAX_SCHEMA_BYTES:
        return f"a schema has more than {MAX_SCHEMA_BYTES} bytes"
    return ""


def _first(names: Sequence[str]) -> str:
    return ", ".join(json.dumps(name[:64]) for name in names[:3]) + (", ..." if len(names) > 3 else "")
