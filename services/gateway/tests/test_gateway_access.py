"""Who may change things, by which name the gateway may be called, and what a body may be."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from scripted_agent import GatewayServer, ScriptedAgent

START = {"workflow": "flow", "prompt": "hello"}
TOKEN, NEXT = "a-token-of-the-first-kind", "a-token-of-the-second-kind"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.fixture
async def locked(agent: ScriptedAgent, token_file: Path) -> AsyncIterator[GatewayServer]:
    settings = {"gateway_write": "token", "gateway_token_file": token_file}
    async with GatewayServer([agent.address], **settings) as running:
        yield running


async def start(server: GatewayServer, **headers: str) -> httpx.Response:
    return await server.client.post("/api/runs", json=START, headers=headers)


@pytest.mark.requirement("SEC-1")
async def test_changes_need_a_token_and_reads_do_not(locked: GatewayServer, agent: ScriptedAgent) -> None:
    """Proves 401 with a challenge without and with a wrong token, and that nothing reached the agent."""
    for headers in ({}, bearer("wrong"), {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"}):
        refused = await start(locked, **headers)
        assert refused.status_code == 401, headers
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["error"]["code"] == "UNAUTHENTICATED"
        config = (await locked.client.get("/api/config", headers=headers)).json()
        assert (config["writable"], config["token_required"]) == (False, True)
    assert agent.runs == []
    assert (await start(locked, **bearer(TOKEN))).status_code == 200
    assert (await locked.client.get("/api/config", headers=bearer(TOKEN))).json()["writable"]
    assert len((await locked.client.get("/api/runs")).json()["runs"]) == 1


@pytest.mark.requirement("SEC-1")
async def test_tokens_rotate_without_a_restart(locked: GatewayServer, token_file: Path) -> None:
    """Proves that a second token is taken at once, an old one refused once it is gone, and no file closes all."""
    assert (await start(locked, **bearer(NEXT))).status_code == 401
    token_file.write_text(f"{TOKEN}\n\n  {NEXT}  \n")
    assert [(await start(locked, **bearer(token))).status_code for token in (TOKEN, NEXT)] == [200, 200]
    mounted = token_file.with_name("mounted")  # a Secret is changed by turning a link
    mounted.write_text(NEXT)
    token_file.unlink()
    token_file.symlink_to(mounted)
    assert [(await start(locked, **bearer(token))).status_code for token in (TOKEN, NEXT)] == [401, 200]
    token_file.unlink()
    assert (await start(locked, **bearer(NEXT))).status_code == 401
    token_file.write_bytes(b"\xff\xfe")
    assert (await start(locked, **bearer(NEXT))).status_code == 401
    token_file.write_text(TOKEN)
    assert (await start(locked, **bearer(TOKEN))).status_code == 200


@pytest.mark.requirement("SEC-1")
async def test_same_length_and_time_do_not_hide_a_new_token(locked: GatewayServer, token_file: Path) -> None:
    """Proves that a token replaced by one of the same length within the clock's grain is still picked up."""
    assert (await start(locked, **bearer(TOKEN))).status_code == 200
    before = token_file.stat()
    token_file.write_text("b" + TOKEN[1:] + "\n")
    os.utime(token_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (await start(locked, **bearer(TOKEN))).status_code == 401


async def test_reading_may_need_a_token_too(agent: ScriptedAgent, token_file: Path) -> None:
    """Proves that only what tells how to get in is open then, the stream included in what is not."""
    settings = {"gateway_read": "token", "gateway_token_file": token_file}
    async with GatewayServer([agent.address], **settings) as server:
        for path in ("/api/runs", "/api/stream", "/api/agents", "/api/agents/flow/backups/x/file"):
            assert (await server.client.get(path)).status_code == 401, path
        for path in ("/api/config", "/api/openapi.json", "/", "/healthz", "/readyz", "/metrics"):
            assert (await server.client.get(path)).status_code == 200, path
        assert (await server.client.get("/api/runs", headers=bearer(TOKEN))).status_code == 200


async def test_gateway_that_changes_nothing_says_so(agent: ScriptedAgent, token_file: Path) -> None:
    """Proves 403 even with a right token, and that the UI can tell beforehand."""
    settings = {"gateway_write": "never", "gateway_token_file": token_file}
    async with GatewayServer([agent.address], **settings) as server:
        refused = await start(server, **bearer(TOKEN))
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "PERMISSION_DENIED")
        config = (await server.client.get("/api/config", headers=bearer(TOKEN))).json()
    assert (config["writable"], config["token_required"]) == (False, False)


async def test_without_a_token_file_nobody_writes(agent: ScriptedAgent) -> None:
    """Proves that the default is read-only."""
    async with GatewayServer([agent.address], gateway_write="token") as server:
        assert (await start(server, **bearer("anything"))).status_code == 401


@pytest.mark.requirement("SEC-2")
@pytest.mark.parametrize("host", ["evil.example", "evil.example:8400", "localhost.evil.example", "", "[::2]"])
async def test_foreign_host_names_are_refused(server: GatewayServer, host: str) -> None:
    """Proves that a page whose name was made to point here (DNS rebinding) gets nothing."""
    for path in ("/api/runs", "/", "/api/openapi.json", "/nowhere"):
        refused = await server.client.get(path, headers={"Host": host})
        assert refused.status_code == 421, path
        assert refused.json()["error"]["code"] == "MISDIRECTED_REQUEST"
    assert (await server.client.get("/healthz", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]", "[::1]:8400"])
async def test_names_of_this_machine_are_allowed(server: GatewayServer, host: str) -> None:
    """Proves that local mode answers by each of its own names, with and without a port."""
    assert (await server.client.get("/api/config", headers={"Host": host})).status_code == 200


async def test_host_names_can_be_set(agent: ScriptedAgent) -> None:
    """Proves that a name of a proxy can be allowed, and that then only it is, beside a port that is forwarded."""
    async with GatewayServer([agent.address], gateway_hosts="ui.example") as server:
        assert (await server.client.get("/api/config", headers={"Host": "ui.example"})).status_code == 200
        assert (await server.client.get("/api/config", headers={"Host": "other.example"})).status_code == 421
        assert (await server.client.get("/api/config", headers={"Host": "localhost:8400"})).status_code == 200
    async with GatewayServer([agent.address], gateway_hosts="*") as server:
        assert (await server.client.get("/api/config", headers={"Host": "any.example"})).status_code == 200


@pytest.mark.requirement("SEC-2")
async def test_page_of_another_site_cannot_write(server: GatewayServer, agent: ScriptedAgent) -> None:
    """Proves that neither a form nor a script of another origin changes anything, even where no token is needed."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    plain = {"Content-Type": "text/plain"}
    body = json.dumps(START)
    for headers in (form, plain, {"Content-Type": "multipart/form-data; boundary=x"}):
        refused = await server.client.post("/api/runs", content=body, headers=headers)
        assert refused.status_code == 415, headers
    assert (await server.client.post("/api/agents/flow/backups", headers=form)).status_code == 415
    for foreign in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://localhost:{server.port + 1}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        refused = await start(server, **foreign)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "PERMISSION_DENIED"), foreign
    assert agent.runs == []
    preflight = await server.client.options("/api/runs", headers={"Origin": "https://evil.example"})
    assert preflight.status_code == 405
    assert "access-control-allow-origin" not in preflight.headers
    assert (await start(server, Origin=server.url, **{"Sec-Fetch-Site": "same-origin"})).status_code == 200


@pytest.mark.requirement("SEC-2")
@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "Invalid JSON"),
        (b"[]", 400, "body: "),
        (b'{"workflow":"flow"}', 400, "prompt: Field required"),
        (b'{"workflow":"flow","prompt":1}', 400, "prompt: "),
        (b'{"workflow":"flow","prompt":"x","extra":1}', 400, "extra: is not known here"),
        (b'{"workflow":"flow","prompt":"\xff"}', 400, "Invalid JSON"),
        (b'{"workflow":"flow","prompt":"\\ud800"}', 400, "Invalid JSON"),
        (b'{"workflow":' + b"[" * 500_000, 400, "Invalid JSON"),
        (b'{"workflow":"flow","prompt":"' + b"x" * 1024 * 1024 + b'"}', 413, "body: is too long"),
        (b'{"workflow":"none","prompt":"x"}', 404, "workflow: none is called 'none'"),
    ],
)
async def test_bad_bodies_are_one_line(
    server: GatewayServer, agent: ScriptedAgent, body: bytes, status: int, said: str
) -> None:
    """Proves that what is wrong in a body is named in one line, and never a trace back."""
    headers = {"Content-Type": "application/json"}
    refused = await server.client.post("/api/runs", content=body, headers=headers)
    assert refused.status_code == status
    message = refused.json()["error"]["message"]
    assert said in message
    assert len(message.splitlines()) == 1
    assert agent.runs == []


@pytest.mark.requirement("SEC-2")
async def test_endless_body_is_cut_off(server: GatewayServer) -> None:
    """Proves that a body without a length is not read beyond the limit."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield b" " * 65536
            await asyncio.sleep(0)

    headers = {"Content-Type": "application/json"}
    try:
        refused = await server.client.post("/api/runs", content=endless(), headers=headers)
        assert refused.status_code == 413
    except httpx.TransportError:
        pass  # closed while it was still being written to
    assert sent < 64 * 1024 * 1024


async def test_unknown_paths_methods_and_parameters_are_told_as_json(server: GatewayServer) -> None:
    """Proves that every refusal of the API has the same form."""
    for method, path, status, code in (
        ("GET", "/api/nothing", 404, "NOT_FOUND"),
        ("GET", "/api", 404, "NOT_FOUND"),
        ("DELETE", "/api/runs", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/runs?pagesize=3", 400, "INVALID_ARGUMENT"),
        ("GET", "/api/runs?page_size=501", 400, "INVALID_ARGUMENT"),
        ("GET", "/api/runs?page_size=x", 400, "INVALID_ARGUMENT"),
        ("GET", "/api/runs?state=asleep", 400, "INVALID_ARGUMENT"),
        ("GET", "/api/runs/%2e%2e%2f%2e%2e", 404, "NOT_FOUND"),
        ("GET", "/api/agents/nobody/observability", 404, "NOT_FOUND"),
    ):
        refused = await server.client.request(method, path)
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code), path
        assert refused.headers["cache-control"] == "no-store"
        assert len(refused.json()["error"]["message"].splitlines()) == 1
