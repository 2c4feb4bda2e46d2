"""A server made with the official SDK, with tools that behave and tools that do not.

usage: tools_mcp_server.py FOLDER stdio|PORT [TOOLS]

What happens is noted in files of FOLDER. With TOOLS it offers so many more.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Literal

from mcp.server.mcpserver import Context, MCPServer

FOLDER = Path(sys.argv[1])
HUGE = 100 * 1024 * 1024
server = MCPServer("box", log_level="ERROR")


def note(name: str, text: str) -> None:
    with (FOLDER / name).open("a") as file:
        file.write(f"{text}\n")


@server.tool()
def add(a: int, b: int, context: Context) -> int:
    """Adds two whole numbers."""
    meta = dict(context.request_context.meta or {})
    note("calls", f"add {meta.get('milepost.dev/callId')}")
    return a + b


@server.tool()
def forecast(city: Literal["Paris", "Oslo"]) -> str:
    """Tells the weather of tomorrow."""
    return f"Rain in {city}."


@server.tool()
def fail() -> str:
    """Always fails."""
    raise ValueError("the printer\nis on fire")


@server.tool()
async def hang() -> str:
    """Never answers."""
    note("hanging", str(os.getpid()))
    try:
        await asyncio.Event().wait()
    finally:
        note("cancelled", "hang")
    return ""


@server.tool()
def crash() -> str:
    """Ends the server amid the call."""
    print("out of luck", file=sys.stderr, flush=True)
    os._exit(3)


@server.tool()
def huge() -> str:
    """Answers 100 MB."""
    return "x" * HUGE


@server.tool()
def environment() -> str:
    """Tells the names of its environment."""
    return " ".join(sorted(os.environ))


@server.tool()
async def grow(context: Context) -> str:
    """Offers one more tool."""
    server.add_tool(forecast, name="grown", description="Has come later.")
    await context.notify_tools_changed()
    return "grown"


for number in range(int(sys.argv[3]) if len(sys.argv) > 3 else 0):
    server.add_tool(forecast, name=f"tool{number}", description=f"Number {number} of many.")

note("started", str(os.getpid()))
if sys.argv[2] == "stdio":
    server.run("stdio")
else:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
