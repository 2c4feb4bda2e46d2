"""`milepost obs` against an agent over gRPC, and against the pods of a cluster."""

from __future__ import annotations

import json

import pytest
from cli_fake_agent import FakeAgent
from cli_process import Milepost

from milepost.agent.v1 import agent_pb2
from milepost_cli import obs
from milepost_cli.cluster.backend import ClusterBackend
from milepost_cli.state import StateDirectory


@pytest.mark.requirement("CLI-1", "OBS-1")
def test_the_mode_is_shown_and_switched_for_a_time(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent
) -> None:
    fake_agent.observability.telemetry.endpoint = "http://collector:4317"
    fake_agent.observability.telemetry.dropped = 3
    (_, line) = milepost("obs", "--state", state.path).stdout.splitlines()
    assert line.split()[1:] == ["shipping", "-", "spec.observability.mode", "http://collector:4317,", "3", "dropped"]
    switched = milepost("obs", "debug", "--for", "1h30m", "--state", state.path)
    assert (switched.returncode, switched.stderr) == (0, "")
    assert ": debug until " in switched.stdout
    request = fake_agent.requests[-1]
    assert (request.mode, request.duration.seconds, request.cause) == (
        agent_pb2.OBSERVABILITY_MODE_DEBUG,
        5400,
        "milepost obs",
    )
    (agent,) = json.loads(milepost("obs", "--json", "--state", state.path).stdout)["agents"]
    assert (agent["mode"], agent["until"], agent["cause"]) == ("debug", "1970-01-12T15:16:40.000Z", "milepost obs")
    assert milepost("obs", "shipping", "--state", state.path).stdout.endswith(": shipping\n")
    assert not fake_agent.requests[-1].HasField("duration")


@pytest.mark.requirement("CLI-1")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("debug", "--for", "soon"), "--for: 'soon' is no time; allowed: for example 90s, 10m or 1h30m"),
        (("shipping", "--for", "1m"), "--for: is for `milepost obs debug` alone"),
        (("--for", "1m"), "--for: is for `milepost obs debug` alone"),
        (("--workflow", "nothing"), "no workflow nothing here"),
        (("loud",), "invalid choice: 'loud'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent, arguments: tuple[str, ...], line: str
) -> None:
    refused = milepost("obs", *arguments, "--state", state.path)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert line in refused.stderr
    assert fake_agent.requests == []


@pytest.mark.requirement("CLI-1", "OBS-1")
def test_every_pod_is_switched(
    cluster: ClusterBackend, agents: dict[str, FakeAgent], capsys: pytest.CaptureFixture[str]
) -> None:
    assert obs.switch(cluster, None, "debug", 60, as_json=True) == 0
    found = {one["agent"]: one["mode"] for one in json.loads(capsys.readouterr().out)["agents"]}
    assert found == dict.fromkeys(agents, "debug")
    assert all(agent.observability.mode == agent_pb2.OBSERVABILITY_MODE_DEBUG for agent in agents.values())
