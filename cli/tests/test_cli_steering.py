"""Pausing a run and writing to its roles, as commands against an agent over gRPC."""

from __future__ import annotations

import json
import uuid

import pytest
from cli_fake_agent import RUN_ID, FakeAgent
from cli_process import Milepost

from milepost_cli.state import StateDirectory


@pytest.mark.requirement("CLI-1")
def test_pause_and_resume_say_how_the_run_is(milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent) -> None:
    paused = milepost("pause", RUN_ID, "--reason", "lunch", "--state", state.path)
    resumed = milepost("resume", RUN_ID, "--state", state.path)
    assert paused.stdout == f"run {RUN_ID}: paused\n", paused.stderr
    assert resumed.stdout == f"run {RUN_ID}: running\n", resumed.stderr
    asked = [request for request in fake_agent.requests if hasattr(request, "request_id")]
    assert asked[0].reason == "lunch"
    assert len({str(uuid.UUID(request.request_id)) for request in asked}) == 2


@pytest.mark.requirement("CLI-1", "A2A-1")
def test_message_is_sent_under_an_id_and_a_repeated_one_is_told_as_such(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent
) -> None:
    identity = str(uuid.uuid4())
    arguments = ("message", RUN_ID, "coder", "use tabs", "--id", identity, "--state", state.path)
    first, second = milepost(*arguments), milepost(*arguments)
    assert first.stdout == f"message {identity} to coder is stored; the next step of coder receives it\n", first.stderr
    assert "is known already" in second.stdout
    refused = milepost("message", RUN_ID, "painter", "use red", "--state", state.path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "milepost: message.recipient_role: no role; allowed: coder\n"
    bad = milepost("message", RUN_ID, "coder", "x", "--id", "none", "--state", state.path)
    assert (bad.returncode, bad.stderr) == (2, "milepost: --id none: must be a UUID\n")


@pytest.mark.requirement("CLI-1", "A2A-1")
def test_messages_of_a_run_are_listed(milepost: Milepost, state: StateDirectory) -> None:
    table = milepost("get", "messages", RUN_ID, "--state", state.path)
    assert "reviewer" in table.stdout and "use tabs" in table.stdout, table.stderr
    answer = json.loads(milepost("get", "messages", RUN_ID, "--json", "--state", state.path).stdout)
    assert answer["messages"][0]["delivered"] is True
    assert answer["messages"][0]["message"]["payload"] == "use tabs"
