"""Which place a command speaks to, and what is said when it cannot be used."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cli_process import Milepost

from milepost_cli.state import StateDirectory

PARTS_OF_A_CLUSTER = ("kubernetes", "websockets", "milepost_cli.cluster", "milepost_crds")


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    """Two contexts of an API server at which nobody listens."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [
                {"name": "blue", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
                {"name": "green", "context": {"cluster": "c", "user": "u"}},
            ],
            "current-context": "blue",
        }
        file = tmp_path / "kubeconfig"
        file.write_text(yaml.safe_dump(config))
        yield file


@pytest.mark.requirement("CLI-1")
def test_local_mode_loads_nothing_of_a_cluster(state: StateDirectory) -> None:
    asked = [sys.executable, "-X", "importtime", "-m", "milepost_cli", "get", "runs", "--state", str(state.path)]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "milepost_cli.local" in loaded
    assert not [name for name in loaded if name.startswith(PARTS_OF_A_CLUSTER)]


@pytest.mark.parametrize("flag", [("-n", "team"), ("--namespace", "team"), ("--context", "green"), ()])
@pytest.mark.requirement("CLI-1")
def test_any_option_of_a_cluster_chooses_it(milepost: Milepost, kubeconfig: Path, flag: tuple[str, ...]) -> None:
    done = milepost("get", "runs", *flag, "--kubeconfig", kubeconfig)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    context = "green" if "green" in flag else "blue"
    assert line.startswith(f"milepost: context {context}: the API server at http://127.0.0.1:")
    assert "cannot be reached: Failed to establish a new connection" in line
    assert line.endswith("refused")


@pytest.mark.parametrize(("variable", "value"), [("MILEPOST_NAMESPACE", "team"), ("MILEPOST_CONTEXT", "green")])
@pytest.mark.requirement("CLI-1")
def test_a_variable_chooses_the_cluster_unless_a_state_directory_is_named(
    milepost: Milepost, kubeconfig: Path, variable: str, value: str
) -> None:
    env = {**os.environ, "KUBECONFIG": str(kubeconfig), variable: value}
    assert "cannot be reached" in milepost("get", "runs", env=env).stderr
    assert "no `milepost up` runs" in milepost("get", "runs", "--state", "x", env=env).stderr


@pytest.mark.requirement("CLI-1")
def test_where_nothing_runs_a_cluster_is_mentioned(milepost: Milepost) -> None:
    done = milepost("get", "runs")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.endswith("; for a cluster say --namespace NAME")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--state", "x", "-n", "team"), "--state: is for local mode; allowed: --state, or --namespace"),
        (("-n", ""), "is empty; allowed: a name"),
        (("--context", "red", "--kubeconfig", "KUBECONFIG"), "there is no context red; allowed: blue, green"),
        (("--kubeconfig", "nowhere"), "nowhere: there is no kubeconfig; name one with --kubeconfig or KUBECONFIG"),
    ],
)
@pytest.mark.requirement("CLI-1")
def test_a_place_that_cannot_be_is_one_line(
    milepost: Milepost, kubeconfig: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = milepost("get", "runs", *(str(kubeconfig) if one == "KUBECONFIG" else one for one in arguments))
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no usable kubeconfig"),
        ("- a list", "no usable kubeconfig"),
        ("a: b: c", "no usable kubeconfig"),
        ("apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n", "choose one with --context"),
        (
            "contexts: [{name: a, context: {cluster: gone, user: u}}]\nclusters: []\nusers: []\ncurrent-context: a\n",
            "context a: ",
        ),
    ],
)
@pytest.mark.requirement("CLI-1")
def test_a_broken_kubeconfig_is_one_line(milepost: Milepost, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "broken"
    file.write_text(text)
    done = milepost("get", "runs", "--kubeconfig", file)
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    assert str(file) in line
    assert said in line


@pytest.mark.parametrize("command", ["up", "down"])
@pytest.mark.requirement("CLI-1")
def test_up_and_down_are_local_only(milepost: Milepost, command: str) -> None:
    done = milepost(command, *(["x.yaml"] if command == "up" else []), "--namespace", "team")
    assert done.returncode == 2
    assert "unrecognized arguments: --namespace" in done.stderr
