"""The built web UI: served with the right headers, below a prefix with and without a proxy, and nothing beside it."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from scripted_agent import GatewayServer, ScriptedAgent, next_of, sent

INDEX = (
    '<!doctype html><html><head><base href="/"><script type="module" src="assets/app-1a2b.js"></script></head></html>'
)
STYLE = "p { margin: 0 }\n" * 100
SCRIPT = b"console.log('there')\n" * 50


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(INDEX)
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "assets" / "app-1a2b.js").write_bytes(SCRIPT)
    (folder / "assets" / "app-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))
    (folder / "assets" / "app-1a2b.js.br").write_bytes(b"as brotli")
    (folder / "assets" / "style-5e6f.css").write_text(STYLE)
    (tmp_path / "secret.txt").write_text("secret")
    (folder / ".built-from").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
async def ui(agent: ScriptedAgent, built: Path) -> AsyncIterator[GatewayServer]:
    async with GatewayServer([agent.address], gateway_static=built) as running:
        yield running


async def test_places_of_the_application_are_its_page(ui: GatewayServer) -> None:
    """Proves the fallback: every address within the application opens it, asked for anew each time."""
    for path in ("/", "/runs/7b0a", "/agents/a.b/backups", "/messages?x=1"):
        page = await ui.client.get(path)
        assert (page.status_code, page.text) == (200, INDEX), path
        assert page.headers["content-type"].startswith("text/html")
        assert page.headers["cache-control"] == "no-cache"
    again = await ui.client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_assets_are_kept_for_ever_and_come_packed(ui: GatewayServer) -> None:
    """Proves long caching of hashed files, and that each encoding goes to who takes it alone."""
    asset = "/assets/app-1a2b.js"
    plain = await ui.client.get(asset, headers={"Accept-Encoding": "identity"})
    assert (plain.content, plain.headers["vary"]) == (SCRIPT, "Accept-Encoding")
    assert "immutable" in plain.headers["cache-control"]
    assert plain.headers["content-type"].startswith("text/javascript")
    packed = await ui.client.get(asset, headers={"Accept-Encoding": "gzip"})
    assert (packed.content, packed.headers["content-encoding"]) == (SCRIPT, "gzip")
    async with ui.client.stream("GET", asset, headers={"Accept-Encoding": "gzip, br"}) as response:
        assert response.headers["content-encoding"] == "br"
        assert b"".join([chunk async for chunk in response.aiter_raw()]) == b"as brotli"
    style = await ui.client.get("/assets/style-5e6f.css", headers={"Accept-Encoding": "gzip"})
    assert (style.text, style.headers["content-encoding"]) == (STYLE, "gzip")  # packed here where the build did not
    for refusing in ("br;q=0, gzip;q=0", "gzip; q=0", "deflate", ""):
        response = await ui.client.get(asset, headers={"Accept-Encoding": refusing})
        assert "content-encoding" not in response.headers, refusing
    for missing in ("/assets/app-old.js", "/assets/", "/assets/app-1a2b.js.gz", "/nothing.png"):
        assert (await ui.client.get(missing)).status_code == 404, missing


@pytest.mark.requirement("SEC-2")
@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/assets/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "//etc/passwd",
        "/link.txt",
        "/.built-from",
        "/assets/app-1a2b.js%00.txt",
    ],
)
async def test_nothing_beside_the_folder_is_served(ui: GatewayServer, path: str) -> None:
    """Proves that neither dots nor links nor encodings lead out of the built UI."""
    reader, writer = await asyncio.open_connection("127.0.0.1", ui.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert b"secret" not in answer
    assert b"root:" not in answer
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 200"))
    assert answer.startswith(b"HTTP/1.1 404") or INDEX.encode() in answer


@pytest.mark.requirement("SEC-2")
async def test_every_answer_carries_the_security_headers(ui: GatewayServer) -> None:
    """Proves that pages, files, answers and refusals alike allow no foreign script, frame or guess of their kind."""
    for path in ("/", "/favicon.svg", "/assets/app-1a2b.js", "/api/runs", "/api/nothing", "/nothing.png", "/healthz"):
        headers = (await ui.client.get(path)).headers
        policy = headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "connect-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


async def test_new_build_is_served_without_a_restart(ui: GatewayServer, built: Path) -> None:
    """Proves that `make ui` shows beside a running gateway."""
    assert (await ui.client.get("/")).text == INDEX
    (built / "assets" / "app-3c4d.js").write_text("new")
    (built / "index.html").write_text(INDEX.replace("1a2b", "3c4d"))
    assert "3c4d" in (await ui.client.get("/")).text
    assert (await ui.client.get("/assets/app-3c4d.js")).text == "new"


async def test_missing_build_is_said(server: GatewayServer) -> None:
    """Proves that a gateway without the UI tells how to make it, and still answers the API."""
    page = await server.client.get("/runs/1")
    assert "make ui" in page.text
    assert (await server.client.get("/api/config")).status_code == 200


@contextlib.asynccontextmanager
async def proxy(port: int, rewrite: Callable[[str], str]) -> AsyncIterator[int]:
    """A reverse proxy that changes the path of each request and passes everything else through; its port."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, rest = head.split(" ", 2)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        inner_writer.write(f"{method} {rewrite(path)} {rest}".replace("keep-alive", "close").encode())
        tasks = [asyncio.create_task(pump(reader, inner_writer)), asyncio.create_task(pump(inner_reader, writer))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, inner_writer):
            each.close()
        for task in tasks:
            task.cancel()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


@pytest.mark.parametrize("strips", [True, False])
async def test_everything_works_below_a_prefix(agent: ScriptedAgent, built: Path, strips: bool) -> None:
    """Proves page, assets, API and stream behind a proxy that takes the prefix off, and behind one that does not."""
    prefix = "/tools/milepost"

    def rewrite(path: str) -> str:
        assert path.startswith(prefix)
        return path.removeprefix(prefix) if strips else path

    settings = {"gateway_prefix": prefix, "gateway_static": built}
    async with (
        GatewayServer([agent.address], **settings) as server,
        proxy(server.port, rewrite) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}{prefix}/", follow_redirects=True) as client,
    ):
        for path in ("", "runs/1"):
            assert f'<base href="{prefix}/">' in (await client.get(path)).text
        assert (await client.get("assets/app-1a2b.js")).content == SCRIPT
        assert (await client.get("api/runs")).json()["runs"] == []
        assert (await client.get("api/nothing")).status_code == 404
        assert (await client.get("api/openapi.json")).json()["servers"] == [{"url": f"{prefix}/"}]
        await agent.happen(1)
        async with (
            client.stream("GET", "api/stream", params={"cursor": "flow=0"}) as response,
            contextlib.aclosing(sent(response.aiter_lines())) as events,  # type: ignore[type-var]
        ):
            assert (await next_of(events, "journal")).id == "flow=1"


async def test_prefix_without_its_slash_leads_to_the_page(agent: ScriptedAgent, built: Path) -> None:
    """Proves a redirect that stays below the prefix, whatever host and scheme a proxy has."""
    async with GatewayServer([agent.address], gateway_prefix="/a/b", gateway_static=built) as server:
        answer = await server.client.get("/a/b")
        assert (answer.status_code, answer.headers["location"]) == (308, "b/")
        assert (await server.client.get("/a/bc")).text.count("<base") == 1
