"""`milepost up` refuses what cannot work with one line for each mistake, before anything is started."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import LIMIT, Milepost

from milepost_cli.state import StateDirectory

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WORKFLOW = (EXAMPLES / "linear" / "workflow.yaml").read_text()
MODELS = (EXAMPLES / "linear" / "models.yaml").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the linear example that a test may break."""
    copy = tmp_path / "manifests"
    shutil.copytree(EXAMPLES / "linear", copy)
    return copy


def write_volume_service(folder: Path, further: str = "") -> None:
    (folder / "library.yaml").write_text(
        "apiVersion: milepost.dev/v1alpha1\n"
        "kind: ModelService\n"
        "metadata: {name: library}\n"
        "spec:\n"
        "  capabilities: [rag]\n"
        "  rag:\n"
        "    documents: {persistentVolumeClaim: {claimName: shelf, path: books}}\n"
        "    modelRef: {name: smollm2}\n" + further
    )


@pytest.mark.requirement("CLI-1")
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("maxHops: 3", "maxHopz: 3", "maxHopz"),
        ("  arbitrator:\n    modelRef:\n      name: smollm2\n", "  arbitrator: {}\n", "spec.arbitrator.modelRef"),
        ("maxHops: 3", "maxHops: 9", "spec.maxHops"),
        ("name: answer", "name: compute", "spec.steps"),
        ("name: smollm2", "name: elsewhere", "elsewhere"),
        ("pattern: linear", "pattern: [", "workflow.yaml"),
    ],
)
def test_mistake_in_a_manifest_is_a_line_that_names_file_and_field(
    milepost: Milepost, folder: Path, tmp_path: Path, before: str, after: str, said: str
) -> None:
    assert before in WORKFLOW
    (folder / "workflow.yaml").write_text(WORKFLOW.replace(before, after))
    done = milepost("up", folder, "--state", tmp_path / "state")
    assert done.returncode == 2
    assert done.stderr.startswith(f"milepost: {folder / 'workflow.yaml'}")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "state").exists()


def test_two_engines_are_refused(milepost: Milepost, folder: Path, tmp_path: Path) -> None:
    broken = MODELS.replace("  llamaCpp:", "  openAI: {baseURL: http://localhost:1, model: m}\n  llamaCpp:")
    (folder / "models.yaml").write_text(broken)
    done = milepost("up", folder, "--state", tmp_path / "state")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "llamaCpp" in line
    assert "models.yaml" in line


@pytest.mark.requirement("CLI-1")
def test_busy_port_is_named(milepost: Milepost, folder: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = milepost("up", folder, "--state", tmp_path / "state", "--port", str(port))
    assert done.returncode == 2
    assert done.stderr == (
        f"milepost: --port: port {port} is in use on 127.0.0.1 or may not be bound; "
        "allowed: a free port from 1 to 65535, or no --port at all\n"
    )


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_impossible_port_is_refused(milepost: Milepost, folder: Path, port: str) -> None:
    done = milepost("up", folder, f"--port={port}")
    assert done.returncode == 2
    assert "allowed: 1 to 65535" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[tuple[Path, list[str]]]:
    """A state directory with something stored in it, and the command that makes it read-only for what follows."""
    state = tmp_path / "state"
    (state / "agents").mkdir(parents=True)
    (state / "agents" / "milepost.db").write_text("runs")
    if os.geteuid() != 0:
        state.chmod(0o555)
        yield state, []
        state.chmod(0o755)
        return
    mounted = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    inside = ["unshare", "--mount", "sh", "-c", mounted, str(state)]
    if subprocess.run([*inside, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("may not mount here")
    yield state, inside


@pytest.mark.requirement("CLI-1")
def test_read_only_state_is_named_and_keeps_what_is_stored(read_only: tuple[Path, list[str]], folder: Path) -> None:
    state, inside = read_only
    up = [sys.executable, "-m", "milepost_cli", "up", str(folder), "--state", str(state)]
    done = subprocess.run([*inside, *up], check=False, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"milepost: {state}")
    assert line.endswith("allowed: a directory that can be written, named with --state")
    assert (state / "agents" / "milepost.db").read_text() == "runs"


def test_state_that_is_a_file_is_named(milepost: Milepost, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    done = milepost("up", folder, "--state", file)
    assert done.returncode == 2
    assert done.stderr.startswith(f"milepost: {file}")
    assert file.read_text() == "mine"


@pytest.mark.requirement("CLI-1")
def test_second_up_is_refused_before_it_prepares_anything(
    milepost: Milepost, state: StateDirectory, folder: Path
) -> None:
    done = milepost("up", folder, "--state", state.path)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert f"another `milepost up` (pid {os.getpid()}) runs on this state" in line
    assert done.stdout == ""


def test_missing_program_says_what_to_install(milepost: Milepost, folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    (bare / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", bare)
    (bare / "lib").symlink_to(Path(sys.prefix) / "lib")
    (bare / "bin" / "python").symlink_to(sys.executable)
    up = [str(bare / "bin" / "python"), "-m", "milepost_cli", "up", str(folder)]
    env = {**os.environ, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(up, check=False, capture_output=True, text=True, timeout=LIMIT, cwd=tmp_path, env=env)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(
        f"milepost: smollm2: the program milepost-model is not installed in {bare / 'bin'} or on PATH"
    )
    assert line.endswith("milepost[model]")
    assert not (tmp_path / ".milepost").exists()


def test_workflow_must_be_among_the_manifests(milepost: Milepost, folder: Path) -> None:
    done = milepost("up", folder / "models.yaml")
    assert done.returncode == 2
    assert done.stderr == f"milepost: {folder / 'models.yaml'}: holds no AgentWorkflow; nothing could be run\n"


def test_claim_needs_a_folder_on_this_machine(milepost: Milepost, folder: Path, tmp_path: Path) -> None:
    write_volume_service(folder)
    done = milepost("up", folder)
    assert done.returncode == 2
    assert done.stderr.endswith("allowed: a folder that is named with --volume shelf=DIR\n")
    write_volume_service(folder, "  replicas: 3\n")
    many = milepost("up", folder, "--volume", f"shelf={tmp_path}")
    assert many.returncode == 2
    assert many.stderr == "milepost: ModelService library: spec.replicas: 3 pods need a cluster; allowed locally: 1\n"
    missing = milepost("up", folder, "--volume", f"shelf={tmp_path / 'nowhere'}")
    assert missing.returncode == 2
    assert missing.stderr.endswith(f"{tmp_path / 'nowhere'} is no directory\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("fly",), "invalid choice: 'fly'"),
        (("run", "linear"), "the following arguments are required: TEXT"),
        (("run", "linear", ""), "the prompt is empty; allowed: 1 to 65,536 bytes"),
        (("run", "linear", " \n "), "the prompt is empty; allowed: 1 to 65,536 bytes"),
        (("run", "linear", "a" * 65_537), "the prompt has 65,537 bytes; allowed: 1 to 65,536 bytes"),
        (("run", "linear", "x", "--correlation-id", "7"), "--correlation-id 7: must be a UUID"),
        (("get", "runs", "--limit", "0"), "allowed: 1 to 10000"),
        (("run", "linear", "x"), "no `milepost up` runs on the state directory .milepost"),
        (("get", "services"), "no `milepost up` runs on the state directory .milepost"),
        (("down",), "no `milepost up` runs on the state directory .milepost"),
    ],
)
@pytest.mark.requirement("CLI-1")
def test_bad_use_is_one_line_and_exit_code_2(milepost: Milepost, arguments: tuple[str, ...], said: str) -> None:
    done = milepost(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert said in line


def test_prompt_of_a_megabyte_is_refused_with_the_limit(milepost: Milepost) -> None:
    done = milepost("run", "linear", "-", input="a" * 2**20)
    assert done.returncode == 2
    assert done.stderr == "milepost: the prompt has 1,048,576 bytes; allowed: 1 to 65,536 bytes\n"


def test_version_is_that_of_the_distribution(milepost: Milepost) -> None:
    assert milepost("version").stdout == milepost("--version").stdout
