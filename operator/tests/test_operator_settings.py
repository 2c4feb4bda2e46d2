"""The operator's environment: what it takes, and one line for what it does not."""

import os
import subprocess
import sys

import pytest

from milepost_operator.errors import ConfigurationError
from milepost_operator.settings import OperatorSettings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MILEPOST_"):
            monkeypatch.delenv(name)


def test_with_nothing_set_the_whole_cluster_is_served() -> None:
    settings = OperatorSettings.load()
    assert settings.scopes == (None,)
    assert settings.concurrency == 16
    assert settings.defaults().images.agent == "milepost-agent:0.1.0"


def test_namespaces_and_images_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_NAMESPACES", "team-a, team-b,")
    monkeypatch.setenv("MILEPOST_IMAGE_RAG", "registry.example:5000/rag@sha256:ab")
    monkeypatch.setenv("MILEPOST_OTLP_ENDPOINT", "")
    settings = OperatorSettings.load()
    assert settings.scopes == ("team-a", "team-b")
    assert settings.defaults().images.rag == "registry.example:5000/rag@sha256:ab"
    assert settings.otlp_endpoint is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MILEPOST_CONCURRENCY", "0"),
        ("MILEPOST_CONCURRENCY", "many"),
        ("MILEPOST_NAMESPACES", "Team_A"),
        ("MILEPOST_IMAGE_PULL_POLICY", "Sometimes"),
        ("MILEPOST_ACCESS_MODE", "ReadWriteMany"),
        ("MILEPOST_HEALTH_PORT", "70000"),
        ("MILEPOST_LOG_LEVEL", "LOUD"),
        ("MILEPOST_RESYNC_SECONDS", "0"),
        ("MILEPOST_IMAGE_AGENT", "a b"),
    ],
)
def test_a_wrong_variable_is_named_in_one_line(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        OperatorSettings.load()
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("environment", "named"),
    [({"MILEPOST_CONCURRENCY": "none"}, "MILEPOST_CONCURRENCY"), ({"KUBECONFIG": "/nowhere"}, "KUBECONFIG")],
    ids=["setting", "kubeconfig"],
)
def test_the_process_ends_with_two_and_one_line(environment: dict[str, str], named: str) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MILEPOST_", "KUBE"))}
    command = [sys.executable, "-m", "milepost_operator.main"]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert named in done.stderr
