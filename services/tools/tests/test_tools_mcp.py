"""Servers made with the official SDK, as child processes and over HTTP: those that behave, and those that do not."""

import asyncio
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from mcp import types

from milepost_crds import McpServer as McpServerSpec
from milepost_service.testing import free_port
from milepost_tools.errors import ToolError
from milepost_tools.mcp_servers import server as server_module
from milepost_tools.mcp_servers.listing import MAX_SCHEMA_BYTES, MAX_TOOLS, bounded
from milepost_tools.mcp_servers.mcp_tool import McpTool, check_arguments, text_of
from milepost_tools.mcp_servers.server import McpServer
from milepost_tools.tool import Arguments
from milepost_tools.toolbox import Toolbox

SCRIPT = Path(__file__).with_name("tools_mcp_server.py")
PATIENCE = 60.0


class Box:
    """One server with its client. `command` starts it by hand where it is reached over HTTP."""

    def __init__(self, folder: Path, way: str, tools: int = 0) -> None:
        self.folder = folder
        self.way = way
        self.port = free_port()
        where = "stdio" if way == "stdio" else str(self.port)
        self.command = [sys.executable, str(SCRIPT), str(folder), where, str(tools)]
        reached = {"command": self.command} if way == "stdio" else {"url": f"http://127.0.0.1:{self.port}/mcp"}
        self.client = McpServer(McpServerSpec.model_validate({"name": "box", **reached}))
        self._process: subprocess.Popen[bytes] | None = None

    async def begin(self) -> None:
        """Starts a server that nobody else starts, and waits until it listens."""
        if self.way == "stdio":
            return
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)
        self._process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        await self.until(self._listens)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    async def call(self, name: str, /, **arguments: object) -> str:
        tool = {each.own_name: each for each in self.client.tools}[name]
        async with asyncio.timeout(PATIENCE):
            return (await tool.call(arguments, "task/0#1")).result

    async def refusal(self, name: str, /, **arguments: object) -> str:
        with pytest.raises(ToolError) as refused:
            await self.call(name, **arguments)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    def noted(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text().split("\n")[:-1] if file.exists() else []

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():
                await asyncio.sleep(0.02)

    async def until_there(self) -> None:
        await self.until(lambda: not self.client.trouble)

    async def end(self) -> None:
        await self.client.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def connected(box: Box) -> AsyncIterator[Box]:
    await box.begin()
    try:
        await box.client.start(PATIENCE)
        await box.until_there()
        yield box
    finally:
        await box.end()


@pytest.fixture(params=["stdio", "http"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.requirement("TLS-1")
async def test_tools_are_listed_with_their_schemas_and_called_with_the_id_of_the_call(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_SECRET", "s")
    async with connected(Box(tmp_path, way)) as box:
        tools = {tool.name: tool for tool in box.client.tools}
        assert {"box.add", "box.forecast", "box.hang"} <= set(tools)
        assert (tools["box.add"].description, tools["box.add"].kind) == ("Adds two whole numbers.", "extension")
        assert tools["box.forecast"].schema["properties"]["city"]["enum"] == ["Paris", "Oslo"]
        assert await box.call("add", a=2, b=40) == "42"
        assert box.noted("calls") == ["add task/0#1"]
        assert await box.refusal("add", a=2, b="x") == "arguments.b: 'x' is not of type 'integer'"
        assert "'b' is a required property" in await box.refusal("add", a=2)
        assert box.noted("calls") == ["add task/0#1"], "called with arguments that do not satisfy its schema"
        assert "fail" in await box.refusal("fail")
        assert await box.call("forecast", city="Oslo") == "Rain in Oslo."
        if way == "stdio":
            seen = (await box.call("environment")).split()
            assert set(seen) <= {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "LC_CTYPE"}, "a child sees our secrets"


@pytest.mark.requirement("TLS-1")
async def test_a_change_of_the_list_is_followed(way: str, tmp_path: Path) -> None:
    async with connected(Box(tmp_path, way)) as box:
        assert await box.call("grow") == "grown"
        await box.until(lambda: "box.grown" in {tool.name for tool in box.client.tools})
        assert await box.call("grown", city="Paris") == "Rain in Paris."


@pytest.mark.requirement("TLS-1")
async def test_a_server_that_hangs_is_told_when_its_call_is_given_up(way: str, tmp_path: Path) -> None:
    async with connected(Box(tmp_path, way)) as box:
        hanging = asyncio.create_task(box.call("hang"))
        await box.until(lambda: bool(box.noted("hanging")))
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        await box.until(lambda: box.noted("cancelled") == ["hang"])
        assert await box.call("add", a=1, b=1) == "2"
        assert len(box.noted("started")) == 1


@pytest.mark.requirement("TLS-1")
async def test_a_server_that_crashes_amid_a_call_is_one_line_and_comes_back(way: str, tmp_path: Path) -> None:
    async with connected(Box(tmp_path, way)) as box:
        assert "the MCP server box was lost during the call" in (said := await box.refusal("crash"))
        assert way == "http" or said.endswith("ended with code 3: out of luck")
        await box.until(lambda: bool(box.client.trouble))
        assert box.client.tools == () and box.client.summary.startswith("away: ")
        await box.begin()
        await box.until_there()
        assert await box.call("add", a=1, b=1) == "2"
        assert len(box.noted("started")) == 2


@pytest.mark.requirement("TLS-1")
async def test_an_answer_of_100_mb_is_one_line_and_never_in_memory(way: str, tmp_path: Path) -> None:
    async with connected(Box(tmp_path, way)) as box:
        tracemalloc.start()
        try:
            assert "more than 4194304 bytes" in await box.refusal("huge")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 40 * 1024 * 1024
        await box.until(lambda: way == "http" or len(box.noted("started")) == 2)
        await box.until_there()
        assert await box.call("add", a=1, b=1) == "2"


@pytest.mark.requirement("TLS-1")
async def test_of_a_thousand_tools_256_are_used_and_the_summary_says_so(tmp_path: Path) -> None:
    async with connected(Box(tmp_path, "stdio", tools=1_000)) as box:
        assert len(box.client.tools) == MAX_TOOLS == 256
        assert box.client.summary == "256 tools; offers more than 256 tools, the first 256 are used"
        listed = Toolbox([], [box.client]).details()["tools"]
        assert listed.startswith("box.add, ") and listed.endswith(" and 224 more")


async def test_a_child_ends_with_its_client_also_when_it_does_not_want_to(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    client = McpServer(McpServerSpec(name="box", command=[sys.executable, "-c", stubborn]))
    before = {child.pid for child in psutil.Process().children()}
    await client.start(0.1)
    box = Box(tmp_path, "stdio")
    await box.until(lambda: {child.pid for child in psutil.Process().children()} > before)
    (pid,) = {child.pid for child in psutil.Process().children()} - before
    await client.close()
    assert not psutil.pid_exists(pid)
    assert client.tools == ()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["there-is-no-such-program"], "there is no program there-is-no-such-program"),
        ([sys.executable, "-c", "raise SystemExit('no licence')"], "ended with code 1: no licence"),
        (["echo", "hello"], "wrote to its standard output what is no message of the protocol"),
        (["sleep", "600"], "gave no answer within 0 s"),
    ],
)
async def test_why_a_child_is_away_is_one_line(
    command: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_CONNECT_SECONDS", 0.2 if command[0] == "sleep" else PATIENCE)
    client = McpServer(McpServerSpec(name="box", command=command))
    try:
        await client.start(PATIENCE)
        assert client.summary == f"away: {expected}"
    finally:
        await client.close()


async def test_why_a_server_over_http_is_away_is_one_line() -> None:
    client = McpServer(McpServerSpec(name="box", url=f"http://127.0.0.1:{free_port()}/mcp"))
    try:
        await client.start(PATIENCE)
        assert client.trouble == "All connection attempts failed"
        with pytest.raises(ToolError, match="the MCP server box is away: All connection attempts failed"):
            await client.call("add", {}, "")
    finally:
        await client.close()


def tool(name: str, **schema: object) -> types.Tool:
    return types.Tool(name=name, input_schema={"type": "object", **schema})


async def _never(name: str, arguments: Arguments, key: str) -> types.CallToolResult:
    raise AssertionError("was called")


def test_tools_of_several_servers_share_no_name() -> None:
    names = [McpTool.of(server, tool("add"), _never).name for server in ("a", "b")]
    assert names == ["a.add", "b.add"]


def test_what_is_listed_is_bounded() -> None:
    wide = {f"property{number}": {"type": "string"} for number in range(MAX_SCHEMA_BYTES // 20)}
    found = [
        tool("good"),
        tool("good"),
        tool("with space"),
        tool("x" * 129),
        tool("\u00fc"),
        tool("large", properties=wide),
        types.Tool(name="list", input_schema={"type": "array"}),
        tool("better"),
    ]
    listing = bounded(found)
    assert [each.name for each in listing.tools] == ["good", "better"]
    assert listing.left_out == [
        '1 left out, a name is there twice: "good"',
        "3 left out, a name has other characters than letters, digits, _ - . / or more than 128 of them: "
        f'"with space", "{"x" * 64}", "\\u00fc"',
        f'1 left out, a schema has more than {MAX_SCHEMA_BYTES} bytes: "large"',
        '1 left out, a schema is none of objects: "list"',
    ]
    assert bounded([tool("a")], more=True).left_out == ["offers more than 256 tools, the first 256 are used"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"$ref": "http://127.0.0.1:1/schema"}, "cannot be used"),
        ({"$ref": "#/$defs/missing"}, "cannot be used"),
        ({"type": "nothing"}, "cannot be used"),
        ({"properties": {"a": {"type": "object", "properties": {"b": {"maximum": 3}}}}}, "arguments.a.b: 4 is greater"),
    ],
)
def test_arguments_that_cannot_be_checked_or_are_wrong_are_one_line(schema: dict[str, object], expected: str) -> None:
    with pytest.raises(ToolError, match=expected) as refused:
        check_arguments(schema, {"a": {"b": 4}})
    assert "\n" not in str(refused.value)


def test_what_is_no_text_is_named() -> None:
    blocks = [
        types.TextContent(type="text", text="one"),
        types.ImageContent(type="image", data="AAAA", mime_type="image/png"),
        types.ResourceLink(type="resource_link", name="r", uri="file:///r"),
    ]
    assert text_of(types.CallToolResult(content=blocks)) == "one\n[image that is not passed on]\n[file:///r]"
    assert text_of(types.CallToolResult(content=[], structured_content={"a": 1})) == '{"a": 1}'


async def test_a_child_dies_with_a_client_that_is_killed(tmp_path: Path) -> None:
    box = Box(tmp_path, "stdio")
    command = ["sh", "-c", f"echo $$ >> {tmp_path}/started; exec sleep 600"]
    code = f"""
import asyncio
from milepost_crds import McpServer as Spec
from milepost_tools.mcp_servers.server import McpServer
asyncio.run(McpServer(Spec(name="box", command={command!r})).start({PATIENCE}))
"""
    with subprocess.Popen([sys.executable, "-c", code]) as client:
        await box.until(lambda: bool(box.noted("started")))
        client.kill()
    (pid,) = map(int, box.noted("started"))
    await box.until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
