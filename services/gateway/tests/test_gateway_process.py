"""The gateway as a process: what it is started with, what it says, and how it ends."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from scripted_agent import PATIENCE, ScriptedAgent

from milepost_gateway.settings import GatewaySettings
from milepost_service.errors import ConfigurationError
from milepost_service.testing import free_port

COMMAND = [sys.executable, "-c", "from milepost_gateway.main import main; main()"]


@contextlib.asynccontextmanager
async def process(log: Path, **environment: str) -> AsyncIterator[tuple["subprocess.Popen[bytes]", str]]:
    """A gateway that answers, and its address."""
    port = free_port()
    environment = {**os.environ, "MILEPOST_LISTEN": f"127.0.0.1:{port}", **environment}
    with log.open("wb") as output, subprocess.Popen(COMMAND, env=environment, stderr=output) as started:
        try:
            async with asyncio.timeout(PATIENCE), httpx.AsyncClient() as client:
                while True:
                    with contextlib.suppress(httpx.TransportError):
                        await client.get(f"http://127.0.0.1:{port}/healthz")
                        break
                    assert started.poll() is None, log.read_text()
                    await asyncio.sleep(0.05)
            yield started, f"http://127.0.0.1:{port}"
        finally:
            started.kill()


async def ended(started: "subprocess.Popen[bytes]") -> int:
    async with asyncio.timeout(PATIENCE):
        while started.poll() is None:
            await asyncio.sleep(0.02)
    return started.returncode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_open_streams_end_with_the_process(agent: ScriptedAgent, tmp_path: Path, number: signal.Signals) -> None:
    """Proves that neither a browser that listens nor one that has stopped reading keeps the process alive."""
    log = tmp_path / "log"
    async with process(log, MILEPOST_AGENTS=f"flow={agent.address.target}") as (started, url):
        stalled = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.sendall(b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with httpx.AsyncClient(timeout=PATIENCE) as client, client.stream("GET", f"{url}/api/stream") as response:
            lines = response.aiter_lines()
            async for line in lines:
                if line == "event: hello":
                    break
            await agent.happen(200, output="x" * 64 * 1024)
            started.send_signal(number)
            async for _ in lines:
                pass  # the end comes in order: no error is raised
        assert await ended(started) == 0
        stalled.close()
    assert "Traceback" not in log.read_text()
    assert "stopped" in log.read_text()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MILEPOST_LISTEN", "8400", "is not an address"),
        ("MILEPOST_AGENTS", "flow", "allowed: NAME=HOST:PORT"),
        ("MILEPOST_AGENTS", "a=127.0.0.1:1,a=127.0.0.1:2", "a is named twice"),
        ("MILEPOST_AGENTS", "a;b=127.0.0.1:1", "is no name of an agent"),
        ("MILEPOST_GATEWAY_WRITE", "maybe", "'token', 'open' or 'never'"),
        ("MILEPOST_GATEWAY_PREFIX", "/a b", "is no path"),
        ("MILEPOST_GATEWAY_HOSTS", "a.example:8400", "is no host name"),
        ("MILEPOST_GATEWAY_STREAMS", "0", "greater than or equal to 1"),
    ],
)
def test_mistake_in_the_settings_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    """Proves one line for each thing that its starter can mend."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as raised:
        GatewaySettings.load()
    [line] = str(raised.value).splitlines()
    assert line.startswith(f"{name}: "), line
    assert said in line


def test_busy_port_ends_the_process_with_one_line() -> None:
    """Proves exit code 2 for what its starter can mend."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        environment = {**os.environ, "MILEPOST_LISTEN": busy}
        done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert done.stderr.startswith(f"milepost-gateway: MILEPOST_LISTEN: {busy} cannot be listened to: Address already")


async def test_log_lines_are_json_with_the_correlation_id(agent: ScriptedAgent, tmp_path: Path) -> None:
    """Proves that requests are logged as other processes log, and that no token is in a line."""
    log, token = tmp_path / "log", "a-secret-token-of-the-test"
    (tmp_path / "tokens").write_text(token)
    settings = {
        "MILEPOST_AGENTS": f"flow={agent.address.target}",
        "MILEPOST_LOG_FORMAT": "json",
        "MILEPOST_LOG_LEVEL": "DEBUG",
        "MILEPOST_GATEWAY_TOKEN_FILE": str(tmp_path / "tokens"),
    }
    async with process(log, **settings) as (started, url), httpx.AsyncClient(base_url=url) as client:
        headers = {"Authorization": f"Bearer {token}", "X-Correlation-Id": "mine"}
        body = {"workflow": "flow", "prompt": "hello"}
        assert (await client.post("/api/runs", json=body, headers=headers)).status_code == 200
        assert (await client.post("/api/runs", json=body, headers={"X-Correlation-Id": "other"})).status_code == 401
        assert (await client.request("MADEUP", "/a%0Ab", headers={"X-Correlation-Id": "strange"})).status_code == 404
        counted = (await client.get("/metrics")).text
        started.terminate()
        assert await ended(started) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["service"] for line in lines} == {"gateway"}
    [written] = [line for line in lines if line.get("correlation_id") == "mine" and "/api/runs" in line["message"]]
    assert (written["message"], len(written["trace_id"])) == ("POST /api/runs 200", 32)
    [refused] = [line for line in lines if line.get("correlation_id") == "other"]
    assert refused["message"] == "POST /api/runs 401"
    [strange] = [line for line in lines if line.get("correlation_id") == "strange"]
    assert strange["message"] == "MADEUP /a%0Ab 404"
    assert "MADEUP" not in counted
    assert token not in log.read_text()


async def test_metrics_and_readiness_tell_of_agents_and_streams(agent: ScriptedAgent, tmp_path: Path) -> None:
    """Proves what a monitor reads: requests by route and code, streams, and which agents are followed."""
    agents = f"flow={agent.address.target},gone=127.0.0.1:{free_port()}"
    async with process(tmp_path / "log", MILEPOST_AGENTS=agents) as (_, url), httpx.AsyncClient(base_url=url) as client:
        async with asyncio.timeout(PATIENCE):
            while (ready := (await client.get("/readyz")).json())["agents"] != {"flow": True, "gone": False}:
                await asyncio.sleep(0.05)
        assert ready["ready"]
        assert (await client.get("/api/runs/x")).status_code == 503
        async with client.stream("GET", "/api/stream"):
            async with asyncio.timeout(PATIENCE):
                while "milepost_gateway_stream_clients 1.0" not in (text := (await client.get("/metrics")).text):
                    await asyncio.sleep(0.05)
        assert 'milepost_gateway_requests_total{code="503",method="GET",route="/api/runs/{run_id}"} 1.0' in text
        assert 'milepost_gateway_upstream_connected{agent="flow"} 1.0' in text
        assert 'milepost_gateway_upstream_connected{agent="gone"} 0.0' in text
        assert "milepost_gateway_resyncs_total 0.0" in text
