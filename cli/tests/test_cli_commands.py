"""The commands that talk to an agent, run for real against an agent over gRPC that plays a written journal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import uuid
from collections.abc import Iterator

import pytest
from cli_fake_agent import OTHER_RUN_ID, RUN_ID, FakeAgent, Written, review_loop_events
from cli_process import LIMIT, Milepost, command

from milepost.agent.v1 import agent_pb2
from milepost_cli.state import StateDirectory

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.mark.requirement("CLI-1")
def test_run_sends_the_prompt_once_and_says_how_to_watch(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent
) -> None:
    done = milepost("run", "review-loop", "Write it", "--state", state.path)
    assert done.returncode == 0, done.stderr
    assert RUN_ID in done.stdout
    assert f"milepost watch {RUN_ID} --state {state.path}" in done.stdout
    [request] = fake_agent.requests
    assert request.prompt == "Write it"
    assert uuid.UUID(request.correlation_id)


@pytest.mark.requirement("CLI-1")
def test_followed_run_is_told_in_plain_lines(milepost: Milepost, state: StateDirectory) -> None:
    done = milepost("run", "review-loop", "Write it", "--follow", "--state", state.path)
    assert done.returncode == 0, done.stderr
    for words in (
        "router recommends  docs 0.83 (rag), smollm2 0.11 (general); none 0.06  [embedding, 12 ms]",
        "arbitrator decides smollm2 0.61  overruled  [88 ms]",
        "because 0.61 over 0.39",
        "research: smollm2 done in 1.2 s",
        "4 of 5 hops remain",
        "cited: python-style.md",
        "calculator({}) = 391",
        "Review Cycle 1 of 2: revise",
        'SomethingNew review {"colour": "blue"}',
        "Completed after",
        "def f(): ...",
    ):
        assert words in done.stdout, words
    assert "\x1b" not in done.stdout


def test_prompt_may_come_from_standard_input(milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent) -> None:
    done = milepost("run", "review-loop", "-", "--state", state.path, input="Schreib es, bitte: ä")
    assert done.returncode == 0, done.stderr
    assert fake_agent.requests[0].prompt == "Schreib es, bitte: ä"


@pytest.mark.parametrize("arguments", [("run", "review-loop", "Write it", "--follow"), ("watch", RUN_ID)])
def test_json_of_a_followed_run_is_one_object_a_line(
    milepost: Milepost, state: StateDirectory, arguments: tuple[str, ...]
) -> None:
    done = milepost(*arguments, "--json", "--state", state.path)
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["event"]["type"] for each in objects[:-1]] == [written.type for written in review_loop_events()]
    assert objects[2]["event"]["data"]["services"][0] == {"service": "docs", "capability": "rag", "confidence": 0.83}
    assert objects[0]["event"]["sequence"] == 101
    assert objects[-1]["run"]["outcome"] == "Completed"
    assert objects[-1]["run"]["hops"][1]["recommendation"]["duration_ms"] == 30.5


def test_run_that_ends_otherwise_is_exit_code_1(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent
) -> None:
    fake_agent.outcome = agent_pb2.RUN_OUTCOME_REVIEW_LIMIT_REACHED
    assert milepost("watch", RUN_ID, "--state", state.path).returncode == 1


@pytest.mark.requirement("CLI-1")
def test_killed_agent_is_a_pause_and_no_event_is_lost_or_doubled(state: StateDirectory, fake_agent: FakeAgent) -> None:
    resumed = Written("RunResumed", "research", 0, {"step": "research", "attempt": 2, "cause": "crash"})
    played = FakeAgent([*review_loop_events()[:5], resumed, *review_loop_events()[5:]])
    fake_agent.events, fake_agent.pause_after = played.events, 5
    with subprocess.Popen(
        command("watch", RUN_ID, "--state", state.path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        assert fake_agent.paused.wait(LIMIT)
        fake_agent.stop()
        assert watching.stdout is not None
        lines = list(_until(watching.stdout, "connection to the agent lost"))
        fake_agent.pause_after = None
        fake_agent.start()
        rest, errors = watching.communicate(timeout=LIMIT)
    told = "".join(lines) + rest
    assert watching.returncode == 0, errors
    assert errors == ""
    assert "agent restarted, run resumed at step research (crash)" in told
    assert told.count("router recommends") == 1
    assert told.count("research: smollm2 done") == 1
    assert fake_agent.after_sequences[0] == 0
    assert fake_agent.after_sequences[-1] == 105


@pytest.mark.requirement("CLI-1")
def test_ctrl_c_leaves_the_run_going_and_says_so(state: StateDirectory, fake_agent: FakeAgent) -> None:
    fake_agent.pause_after = 2
    with subprocess.Popen(
        command("watch", RUN_ID, "--state", state.path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A job in the background of a shell has Ctrl-C ignored, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as watching:
        assert watching.stdout is not None
        list(_until(watching.stdout, "run started"))
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=LIMIT)
    assert watching.returncode == 130
    assert f"run {RUN_ID} goes on" in errors
    assert "Traceback" not in errors
    assert not any(isinstance(request, agent_pb2.CancelRunRequest) for request in fake_agent.requests)


def test_supervisor_that_goes_away_ends_the_watch_in_one_line(state: StateDirectory, fake_agent: FakeAgent) -> None:
    fake_agent.pause_after = 2
    with subprocess.Popen(
        command("watch", RUN_ID, "--state", state.path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        list(_until(watching.stdout, "run started"))
        state.clear()
        fake_agent.stop()
        _, errors = watching.communicate(timeout=LIMIT)
    assert watching.returncode == 2
    assert len(errors.splitlines()) == 1
    assert "no `milepost up` runs" in errors


@pytest.mark.requirement("CLI-1")
def test_terminal_shows_recommendation_beside_decision(state: StateDirectory) -> None:
    shown = _on_terminal("watch", RUN_ID, "--state", str(state.path))
    beside = next(line for line in shown.splitlines() if "router recommends" in line)
    assert "docs 0.83" in beside
    assert "arbitrator decides smollm2 0.61 overruled" in beside
    assert "Review Cycle 1 of 2" in shown
    assert "4 of 5 hops remain" in shown
    assert "Completed" in shown


def test_output_of_a_model_cannot_steer_the_terminal(state: StateDirectory) -> None:
    shown = _on_terminal("watch", RUN_ID, "--state", str(state.path), keep_codes=True)
    assert "[31mone[0m" in CODES.sub("", shown)


@pytest.mark.requirement("CLI-1", "ARB-2")
def test_get_run_prints_hops_and_router_time_as_measured(milepost: Milepost, state: StateDirectory) -> None:
    done = milepost("get", "run", RUN_ID, "--state", state.path)
    assert done.returncode == 0, done.stderr
    for words in (
        f"run {RUN_ID}  Completed",
        "hop 1  research (writer) by smollm2  2.0 s",
        "router recommends   docs 0.83 (rag); none 0.06  [embedding, 12 ms]",
        "  because           docs fits best",
        "  fallback          language model: late after 2.0 s",
        "arbitrator decides  smollm2 0.61  overruled  [88 ms]",
        "  because           0.61 over 0.39",
        "router time over 2 hops: p95 30 ms, longest 30 ms (embedding)",
        "3 made, 2 of 5 remain, review cycle 1 of 2",
        "def f(): ...",
    ):
        assert words in done.stdout, words


def test_get_run_as_json_has_every_field_and_the_router_time(milepost: Milepost, state: StateDirectory) -> None:
    form = json.loads(milepost("get", "run", RUN_ID, "--json", "--state", state.path).stdout)
    assert form["state"] == "ended"
    assert form["outcome"] == "Completed"
    assert form["last_sequence"] == 109
    assert form["create_time"] == "2027-01-15T08:00:00.000Z"
    assert form["pending_input"] is None
    assert form["router_time"] == {"hops": 2, "p95_ms": 30.5, "max_ms": 30.5}


def test_a_run_is_found_by_the_beginning_of_its_id(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent
) -> None:
    assert RUN_ID in milepost("get", "run", RUN_ID[:8], "--state", state.path).stdout
    asked = [request for request in fake_agent.requests if isinstance(request, agent_pb2.ListRunsRequest)]
    assert {request.query for request in asked} == {RUN_ID[:8]}, "however old it is"
    assert milepost("get", "run", "f" * 300, "--state", state.path).stderr.endswith("`milepost get runs` lists them\n")
    unknown = milepost("get", "run", "ffffffff", "--state", state.path)
    assert unknown.returncode == 2
    assert unknown.stderr == "milepost: ffffffff: no run has this id here; `milepost get runs` lists them\n"


@pytest.mark.requirement("CLI-1")
def test_get_runs_pages_and_sorts_newest_first(milepost: Milepost, state: StateDirectory) -> None:
    table = milepost("get", "runs", "--state", state.path).stdout.splitlines()
    assert [line.split()[0] for line in table] == ["RUN", OTHER_RUN_ID, RUN_ID]
    assert "ReviewLimitReached" in table[1]
    form = json.loads(milepost("get", "runs", "--limit", "1", "--json", "--state", state.path).stdout)
    assert [run["run_id"] for run in form["runs"]] == [OTHER_RUN_ID]


@pytest.mark.requirement("CLI-1")
def test_get_runs_asks_the_agents_for_those_that_are_wanted(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent
) -> None:
    wanted = ("--run-state", "ended", "--outcome", "ReviewLimitReached", "--query", "sort a list")
    assert milepost("get", "runs", "--state", state.path, *wanted).returncode == 0
    asked = fake_agent.requests[-1]
    assert (asked.state, asked.outcome, asked.query) == (
        agent_pb2.RUN_STATE_ENDED,
        agent_pb2.RUN_OUTCOME_REVIEW_LIMIT_REACHED,
        "sort a list",
    )
    for option, value, words in (
        ("--run-state", "gone", "--run-state: there is no 'gone'; allowed: accepted, running, waiting, ended, paused"),
        ("--outcome", "failed", "--outcome: there is no 'failed'; allowed: Completed, ReviewLimitReached, "),
        ("--query", "x" * 257, "--query: has 257 characters; allowed: at most 256"),
    ):
        refused = milepost("get", "runs", "--state", state.path, option, value)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
        assert words in refused.stderr


@pytest.mark.requirement("CLI-1")
def test_get_messages_without_a_run_shows_the_newest_of_all(milepost: Milepost, state: StateDirectory) -> None:
    [_, row] = milepost("get", "messages", "--state", state.path).stdout.splitlines()
    assert row.startswith(RUN_ID) and row.endswith("use tabs")
    [message] = json.loads(milepost("get", "messages", "--state", state.path, "--json").stdout)["messages"]
    assert (message["run_id"], message["message"]["payload"]) == (RUN_ID, "use tabs")


@pytest.mark.requirement("CLI-1")
def test_get_services_and_workflows(milepost: Milepost, state: StateDirectory) -> None:
    head, docs, bare = milepost("get", "services", "--state", state.path).stdout.splitlines()
    assert re.split(r"  +", head) == [
        *("SERVICE", "STATE", "CAPABILITIES", "MODEL", "CONTEXT", "SEQUENCES", "THREADS", "CPU", "MEMORY"),
        *("TOKENS/S", "CALLS", "QUEUE", "RESTARTS", "TARGET", "DESCRIPTION"),
    ]
    assert re.split(r"  +", docs) == [
        *("docs", "ready", "rag", "Writer-1B.Q8_0.gguf", "2048", "8", "2", "0.25", "64 of 512 MiB"),
        *("41.3", "1", "3", "3", "127.0.0.1:1", "Looks things up"),
    ]
    assert bare.split() == ["their-own", "ready", *"---------", "0", "127.0.0.1:2"]
    workflows = milepost("get", "workflows", "--state", state.path).stdout
    assert "research > code > review" in workflows
    form = json.loads(milepost("get", "workflows", "--json", "--state", state.path).stdout)
    assert form["workflows"][0]["pattern"] == "cyclic"


@pytest.mark.requirement("CLI-1")
def test_cancel_answer_and_approve_reach_the_agent(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent
) -> None:
    cancelled = milepost("cancel", RUN_ID, "--reason", "no need", "--state", state.path)
    assert cancelled.stdout == f"run {RUN_ID}: Cancelled\n"
    assert fake_agent.requests[-1].reason == "no need"
    assert milepost("answer", RUN_ID, "q1", "the docs", "--state", state.path).returncode == 0
    assert fake_agent.requests[-1].answer == "the docs"
    milepost("approve", RUN_ID, "a1", "--reject", "--comment", "too risky", "--state", state.path)
    assert fake_agent.requests[-1].decision == agent_pb2.APPROVAL_DECISION_REJECT
    assert fake_agent.requests[-1].comment == "too risky"


def test_refusal_of_the_agent_is_one_line(milepost: Milepost, state: StateDirectory) -> None:
    refused = milepost("answer", RUN_ID, "q2", "the docs", "--state", state.path)
    assert refused.returncode == 2
    assert refused.stderr == "milepost: the run does not wait for this question\n"


@pytest.mark.requirement("DUR-6", "CLI-1")
def test_an_agent_that_cannot_write_is_one_line_at_run_and_at_get_workflows(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent
) -> None:
    fake_agent.failure = "/data/milepost.db: cannot write: database or disk is full"
    line = f"milepost: review-loop stands still: {fake_agent.failure}"
    refused = milepost("run", "review-loop", "Write it", "--state", state.path)
    assert refused.returncode == 2
    assert refused.stderr == f"{line}; it goes on by itself when the disk takes data again\n"
    shown = milepost("get", "workflows", "--state", state.path)
    assert (shown.returncode, shown.stderr) == (0, f"{line}\n")
    assert "research > code > review" in shown.stdout
    form = json.loads(milepost("get", "workflows", "--json", "--state", state.path).stdout)
    assert form["workflows"][0]["store"]["failure"] == fake_agent.failure


def test_unknown_workflow_names_those_that_are_up(milepost: Milepost, state: StateDirectory) -> None:
    refused = milepost("run", "review", "Write it", "--state", state.path)
    assert refused.returncode == 2
    assert refused.stderr == "milepost: no workflow review here; allowed: review-loop\n"


def test_reader_that_stops_reading_is_no_error(state: StateDirectory) -> None:
    with subprocess.Popen(
        command("get", "runs", "--state", state.path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as listing:
        assert listing.stdout is not None
        listing.stdout.close()
        assert listing.stderr is not None
        assert listing.stderr.read() == ""
    assert listing.returncode == 0


def _until(lines: Iterator[str] | object, words: str) -> Iterator[str]:
    for line in lines:  # type: ignore[attr-defined]
        yield line
        if words in line:
            return
    raise AssertionError(f"never said: {words}")


def _on_terminal(*arguments: str, keep_codes: bool = False) -> str:
    """What the command draws on a terminal of 160 columns."""
    main, follower = pty.openpty()
    env = {**os.environ, "COLUMNS": "160", "LINES": "50", "TERM": "xterm-256color"}
    with subprocess.Popen(command(*arguments), stdout=follower, stderr=follower, stdin=follower, env=env) as drawing:
        os.close(follower)
        drawn = b"".join(_read_all(main))
    assert drawing.returncode == 0
    text = drawn.decode()
    return text if keep_codes else CODES.sub("", text)


def _read_all(terminal: int) -> Iterator[bytes]:
    try:
        while select.select([terminal], [], [], LIMIT)[0]:
            chunk = os.read(terminal, 65536)
            if not chunk:
                return
            yield chunk
    except OSError:
        return
    finally:
        os.close(terminal)
