"""`milepost router eval` as a real process: the agent's evaluation in its place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cli_process import LIMIT, Milepost, command

from milepost_cli.router import MODULE

pytestmark = pytest.mark.requirement("RTR-4")

QUERIES = ("Write a Python function", "coding"), ("Turn the heating off", "none")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps({"query": query, "label": label}) + "\n" for query, label in QUERIES))
    return path


@pytest.mark.models
def test_one_json_object_over_the_services_that_were_named(milepost: Milepost, tmp_path: Path, data: Path) -> None:
    (tmp_path / "services.yaml").write_text("[{name: coder, capabilities: [coding]}]")
    (tmp_path / "elsewhere" / "numpy.py").write_text("raise RuntimeError")  # of the folder that it is called in
    done = milepost("router", "eval", "--json", "--data", data, "--services", tmp_path / "services.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["queries"], report["top1"], report["services"]) == (2, 1.0, ["coder"])
    assert set(report["baselines"]) == {"majority", "keyword", "centroid"}


@pytest.mark.models
def test_a_page_and_a_diagram_by_relative_names(milepost: Milepost, tmp_path: Path, data: Path) -> None:
    data.rename(tmp_path / "elsewhere" / "-data.jsonl")
    done = milepost("router", "eval", "--data=-data.jsonl", "--diagram", "diagram.svg")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 queries of -data.jsonl")
    assert (tmp_path / "elsewhere" / "diagram.svg").read_text().startswith("<svg ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("router", "eval", "--data", "missing.jsonl"), "milepost: missing.jsonl: cannot be read"),
        (("router", "eval", "--data", "a", "--deadline", "2s"), "milepost: --deadline: is for --language-model alone"),
        (("router", "eval"), "milepost: the following arguments are required: --data; see"),
        (("router",), "milepost: the following arguments are required: eval; see"),
        (("router", "train"), "milepost: argument eval: invalid choice: 'train'"),
    ],
)
def test_what_cannot_be_done_is_one_line(milepost: Milepost, arguments: tuple[str, ...], said: str) -> None:
    done = milepost(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


def test_without_the_agent_it_says_what_to_install(milepost: Milepost, tmp_path: Path, data: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['numpy'] = None")
    paths = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    done = milepost("router", "eval", "--data", data, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 2
    assert done.stderr == (
        "milepost: router: numpy is not installed beside this command; "
        "install Milepost with its part for agents: milepost[agent]\n"
    )


@pytest.mark.models
def test_ctrl_c_ends_it_quietly(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"query": "word " * 500, "label": "none"}) + "\n")
    data.write_text(data.read_text() * 100_000)
    process = subprocess.Popen(
        command("router", "eval", "--data", data),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A job in the background of a shell has Ctrl-C ignored, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + LIMIT
        while not is_measuring(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    assert (process.returncode, out, error) == (130, "", "")


def is_measuring(pid: int) -> bool:
    """Whether the evaluation has taken the place of the command, and has loaded llama.cpp."""
    running = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return MODULE.encode() in running and b"libllama" in Path(f"/proc/{pid}/maps").read_bytes()
