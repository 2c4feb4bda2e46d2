"""AgentService and RegistryService of a real agent process: statuses, paging, streams, and refusals at start."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from milepost.agent.v1 import agent_pb2, message_pb2
from milepost.registry.v1 import registry_pb2
from milepost_service.testing import free_port
from processes import PATIENCE, AgentClient, Process, agent_process, running, scripted_process

NOWHERE = "00000000-0000-4000-8000-000000000000"
ARBITRATOR = {"modelRef": {"name": "worker"}}
SPEC: dict[str, Any] = {
    "pattern": "linear",
    "steps": [{"name": "code", "role": "coder", "capability": "coding"}],
    "arbitrator": ARBITRATOR,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AgentClient, Process, Process]]:
    directory = tmp_path_factory.mktemp("agent")
    agent = agent_process(directory, SPEC)
    worker = scripted_process(directory, "worker", "coding", agent.target)
    with running(agent, worker):
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        yield client, agent, worker
        client.close()


def status_of(call: Any, request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=PATIENCE)
    return caught.value.code(), caught.value.details()


@pytest.mark.requirement("AGT-1")
@pytest.mark.parametrize(
    ("prompt", "words"),
    [("", "prompt: is empty"), ("x" * 1_048_576, "prompt: has 1048576 bytes")],
    ids=["empty", "1MB"],
)
def test_bad_prompt_is_refused_with_the_limit(
    served: tuple[AgentClient, Process, Process], prompt: str, words: str
) -> None:
    code, details = status_of(served[0].agent.StartRun, agent_pb2.StartRunRequest(prompt=prompt))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in details and "allowed: 1 to 65536 bytes" in details


@pytest.mark.requirement("DUR-7", "AGT-1")
def test_same_id_is_the_same_run_and_another_body_already_exists(served: tuple[AgentClient, Process, Process]) -> None:
    client = served[0]
    key = "6a9b1f6e-2a51-4d3f-9a55-0000000000aa"
    first = client.start_run("one", key)
    again = client.agent.StartRun(agent_pb2.StartRunRequest(prompt="one", correlation_id=key), timeout=PATIENCE)
    assert (again.run.run_id, again.existing) == (first.run_id, True)
    code, _ = status_of(client.agent.StartRun, agent_pb2.StartRunRequest(prompt="two", correlation_id=key))
    assert code is grpc.StatusCode.ALREADY_EXISTS
    code, details = status_of(client.agent.StartRun, agent_pb2.StartRunRequest(prompt="x", correlation_id="7"))
    assert (code, "'7' is no UUID" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True)


@pytest.mark.requirement("AGT-1")
def test_watch_goes_on_from_any_sequence_without_gap_or_repeat(served: tuple[AgentClient, Process, Process]) -> None:
    client = served[0]
    run = client.start_run("watch me")
    events = list(client.events(run.run_id))
    assert events[0].type == "RunAccepted" and events[-1].type == "RunCompleted"
    for position in (1, len(events) - 1):
        later = list(client.events(run.run_id, after=events[position - 1].sequence))
        assert [event.sequence for event in later] == [event.sequence for event in events[position:]]
    assert list(client.events(run.run_id, after=events[-1].sequence)) == []


@pytest.mark.requirement("AGT-1", "OBS-4")
def test_every_event_and_the_run_carry_the_correlation_id(served: tuple[AgentClient, Process, Process]) -> None:
    client = served[0]
    key = "6a9b1f6e-2a51-4d3f-9a55-0000000000bb"
    run = client.start_run("correlate", key)
    assert {event.correlation_id for event in client.events(run.run_id)} == {key}
    assert client.get(key).run_id == run.run_id
    log = served[2].log.read_text()
    assert key in log


@pytest.mark.requirement("AGT-1")
def test_listing_is_paged_newest_first(served: tuple[AgentClient, Process, Process]) -> None:
    client = served[0]
    started = [client.wait_ended(client.start_run(f"page {number}").run_id).run_id for number in range(3)]
    seen: list[str] = []
    token = ""
    while True:
        page = client.agent.ListRuns(agent_pb2.ListRunsRequest(page_size=2, page_token=token), timeout=PATIENCE)
        assert len(page.runs) <= 2
        seen += [run.run_id for run in page.runs]
        if not (token := page.next_page_token):
            break
    assert seen[:3] == started[::-1]
    assert len(seen) == len(set(seen))
    code, _ = status_of(client.agent.ListRuns, agent_pb2.ListRunsRequest(page_size=501))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.requirement("AGT-1")
def test_runs_are_found_by_outcome_state_and_text(served: tuple[AgentClient, Process, Process]) -> None:
    client = served[0]
    started = [client.wait_ended(client.start_run(text).run_id) for text in ("Find the NEEDLE", "only hay", "needle 2")]

    def found(**wanted: Any) -> list[str]:
        request = agent_pb2.ListRunsRequest(**wanted)
        return [run.run_id for run in client.agent.ListRuns(request, timeout=PATIENCE).runs]

    first, hay, second = (run.run_id for run in started)
    assert found(query="needle") == [second, first]
    assert found(query="needle", outcome=agent_pb2.RUN_OUTCOME_COMPLETED, page_size=1) == [second]
    assert found(query="needle", outcome=agent_pb2.RUN_OUTCOME_FAILED) == []
    assert found(query="needle", state=agent_pb2.RUN_STATE_WAITING) == []
    assert found(query=hay[:13].upper()) == found(query=started[1].correlation_id) == [hay]
    for wanted, words in (
        ({"query": "x" * 257}, "query: has 257 characters; allowed: at most 256"),
        ({"outcome": 77}, "outcome: 77 is not known; allowed: Completed, "),
        ({"state": 77}, "state: 77 is not known; allowed: accepted, "),
        ({"page_token": "9" * 30}, "page_token: is not one"),
        ({"page_token": "²"}, "page_token: is not one"),
    ):
        code, details = status_of(client.agent.ListRuns, agent_pb2.ListRunsRequest(**wanted))
        assert code is grpc.StatusCode.INVALID_ARGUMENT and words in details


@pytest.mark.requirement("AGT-1", "A2A-1")
def test_messages_of_all_runs_are_paged_newest_first_and_a_page_fits_a_caller(tmp_path: Path) -> None:
    spec = {**SPEC, "steps": [{**SPEC["steps"][0], "requireApproval": True}]}
    agent = agent_process(tmp_path, spec)
    worker = scripted_process(tmp_path, "worker", "coding", agent.target)
    with running(agent, worker):
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        runs = [client.start_run(f"run {number}").run_id for number in range(2)]
        large = "x" * 60_000
        for number in range(80):
            message = message_pb2.AgentMessage(recipient_role="coder", payload=f"{number} {large}")
            request = agent_pb2.SendMessageRequest(run_id=runs[number % 2], message=message)
            client.agent.SendMessage(request, timeout=PATIENCE)
        seen: list[tuple[int, str]] = []
        sizes: list[int] = []
        token = ""
        while True:
            request = agent_pb2.ListMessagesRequest(page_size=500, page_token=token)
            page = client.agent.ListMessages(request, timeout=PATIENCE)
            seen += [(int(each.message.payload.split()[0]), each.run_id) for each in page.messages]
            sizes.append(page.ByteSize())
            if not (token := page.next_page_token):
                break
        assert seen == [(number, runs[number % 2]) for number in range(79, -1, -1)]
        assert max(sizes) < 2.2 * 2**20 and len(sizes) == 3
        code, _ = status_of(client.agent.ListMessages, agent_pb2.ListMessagesRequest(page_size=501))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        client.close()


@pytest.mark.requirement("AGT-1")
def test_a_run_shows_the_graph_that_it_is_pinned_to_also_when_the_workflow_has_changed(tmp_path: Path) -> None:
    steps = [
        {"name": "code", "role": "coder", "capability": "coding", "requireApproval": True},
        {"name": "check", "role": "checker", "capability": "coding", "optional": True},
        {"name": "review", "role": "reviewer", "capability": "coding"},
    ]
    cyclic = {**SPEC, "pattern": "cyclic", "steps": steps, "cycle": {"from": "review", "to": "code", "maxCycles": 2}}
    before = agent_process(tmp_path, cyclic)
    worker = scripted_process(tmp_path, "worker", "coding", before.target)
    with running(before, worker):
        client = AgentClient(before.target)
        client.wait_ready("worker")
        run_id = client.start_run("pin me").run_id
        shown = client.agent.GetAgent(agent_pb2.GetAgentRequest(), timeout=PATIENCE)
        client.close()
    after = agent_process(tmp_path, SPEC)
    with running(after):
        client = AgentClient(after.target)
        graph = client.agent.GetRun(agent_pb2.GetRunRequest(run_id=run_id), timeout=PATIENCE).graph
        now = client.agent.GetAgent(agent_pb2.GetAgentRequest(), timeout=PATIENCE)
        last = client.get(run_id).last_sequence
        client.close()
    assert (graph.pattern, graph.cycle_from, graph.cycle_to, graph.max_cycles) == ("cyclic", "review", "code", 2)
    assert [(step.name, step.role, step.capability) for step in graph.steps] == [
        (step["name"], step["role"], "coding") for step in steps
    ]
    assert [(step.requires_approval, step.optional) for step in graph.steps] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    assert (shown.cycle_from, shown.cycle_to, list(shown.steps)) == ("review", "code", list(graph.steps))
    assert (now.pattern, now.cycle_from, len(now.steps)) == ("linear", "", 1)
    assert now.last_sequence >= last > 0
    assert now.store.fsync_ms > 0 and now.store.commit_p95_ms > 0


@pytest.mark.requirement("AGT-1")
def test_what_is_not_there_is_not_found(served: tuple[AgentClient, Process, Process]) -> None:
    client = served[0]
    for call, request in (
        (client.agent.GetRun, agent_pb2.GetRunRequest(run_id=NOWHERE)),
        (client.agent.CancelRun, agent_pb2.CancelRunRequest(run_id=NOWHERE)),
        (client.agent.PauseRun, agent_pb2.PauseRunRequest(run_id=NOWHERE)),
        (client.agent.ResumeRun, agent_pb2.ResumeRunRequest(run_id=NOWHERE)),
        (client.agent.ListMessages, agent_pb2.ListMessagesRequest(run_id=NOWHERE)),
        (client.agent.StartRun, agent_pb2.StartRunRequest(prompt="x", workflow="another")),
    ):
        assert status_of(call, request)[0] is grpc.StatusCode.NOT_FOUND
    run = client.wait_ended(client.start_run("ended").run_id)
    answer = agent_pb2.AnswerQuestionRequest(run_id=run.run_id, question_id=NOWHERE, answer="a")
    assert status_of(client.agent.AnswerQuestion, answer)[0] is grpc.StatusCode.FAILED_PRECONDITION
    message = message_pb2.AgentMessage(recipient_role="coder", payload="too late")
    late = agent_pb2.SendMessageRequest(run_id=run.run_id, message=message)
    assert status_of(client.agent.SendMessage, late)[0] is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.requirement("DUR-7")
def test_what_is_no_uuid_is_refused_by_the_name_of_its_field(served: tuple[AgentClient, Process, Process]) -> None:
    client = served[0]
    run_id = client.wait_ended(client.start_run("ids").run_id).run_id
    message = message_pb2.AgentMessage(message_id="none", recipient_role="coder", payload="x")
    before = list(client.events(run_id))
    for field, call, request in (
        ("correlation_id", client.agent.StartRun, agent_pb2.StartRunRequest(prompt="x", correlation_id="none")),
        ("run_id", client.agent.GetRun, agent_pb2.GetRunRequest(run_id="none")),
        ("run_id", client.agent.PauseRun, agent_pb2.PauseRunRequest(run_id="none")),
        ("request_id", client.agent.CancelRun, agent_pb2.CancelRunRequest(run_id=run_id, request_id="none")),
        ("question_id", client.agent.AnswerQuestion, agent_pb2.AnswerQuestionRequest(run_id=run_id, answer="a")),
        ("message.message_id", client.agent.SendMessage, agent_pb2.SendMessageRequest(run_id=run_id, message=message)),
    ):
        code, details = status_of(call, request)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert details.startswith(f"{field}: ") and details.endswith("is no UUID; allowed: a UUID")
    assert list(client.events(run_id)) == before


def test_observability_mode_is_switched_and_falls_back_by_itself(served: tuple[AgentClient, Process, Process]) -> None:
    agent = served[0].agent
    assert agent.GetObservability(agent_pb2.GetObservabilityRequest()).mode == agent_pb2.OBSERVABILITY_MODE_SHIPPING
    request = agent_pb2.SetObservabilityRequest(
        mode=agent_pb2.OBSERVABILITY_MODE_DEBUG, duration=Duration(nanos=300_000_000)
    )
    assert agent.SetObservability(request).HasField("until")
    seen = set()
    deadline = time.monotonic() + PATIENCE
    while agent_pb2.OBSERVABILITY_MODE_SHIPPING not in seen and time.monotonic() < deadline:
        seen.add(agent.GetObservability(agent_pb2.GetObservabilityRequest()).mode)
        time.sleep(0.02)
    assert seen == {agent_pb2.OBSERVABILITY_MODE_DEBUG, agent_pb2.OBSERVABILITY_MODE_SHIPPING}


@pytest.mark.requirement("REG-1")
def test_service_that_dies_leaves_the_candidates_and_comes_back_by_itself(tmp_path: Path) -> None:
    agent = agent_process(tmp_path, SPEC)
    worker = scripted_process(tmp_path, "worker", "coding", agent.target)
    with running(agent, worker):
        client = AgentClient(agent.target)
        client.wait_ready("worker")
        worker.kill()
        watch = client.registry.WatchServices(registry_pb2.WatchServicesRequest(), timeout=60)
        states = (each.service.state for each in watch)
        assert next(state for state in states if state != registry_pb2.SERVICE_STATE_READY)
        watch.cancel()
        worker.start()
        client.wait_ready("worker")
        assert client.wait_ended(client.start_run("back").run_id).outcome == agent_pb2.RUN_OUTCOME_COMPLETED
        client.close()


def refusal(process: Process) -> tuple[int, str]:
    """Exit code and output of a start that is refused."""
    process.start()
    assert process.popen
    return process.popen.wait(PATIENCE), process.log.read_text()


@pytest.mark.requirement("DUR-1")
def test_second_agent_on_the_same_state_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    first = agent_process(tmp_path, SPEC)
    second = agent_process(tmp_path, SPEC)
    second.log = tmp_path / "second.log"
    with running(first):
        code, output = refusal(second)
        assert code == 2
        assert len(output.strip().splitlines()) == 1 and str(first.popen and first.popen.pid) in output
        client = AgentClient(first.target)
        assert client.agent.GetAgent(agent_pb2.GetAgentRequest(), timeout=PATIENCE).workflow == "flow"
        client.close()


def test_busy_port_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    agent = agent_process(tmp_path, SPEC)
    port = free_port()
    agent.target = f"127.0.0.1:{port}"
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        code, output = refusal(agent)
    assert code == 2
    assert len(output.strip().splitlines()) == 1 and f"port {port} is in use" in output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not YAML"),
        (
            "apiVersion: milepost.dev/v1alpha1\nkind: AgentWorkflow\nmetadata: {name: x}\nspec: {pattern: linear}\n",
            "spec.",
        ),
    ],
    ids=["not-yaml", "no-steps"],
)
def test_broken_workflow_file_is_one_line_for_each_mistake(tmp_path: Path, text: str, words: str) -> None:
    agent = agent_process(tmp_path, SPEC)
    Path(agent.environment["MILEPOST_WORKFLOW_FILE"]).write_text(text)
    code, output = refusal(agent)
    assert code == 2
    assert words in output and "Traceback" not in output
    assert all("workflow.yaml" in line for line in output.strip().splitlines())


def test_unknown_failpoint_is_refused(tmp_path: Path) -> None:
    agent = agent_process(tmp_path, SPEC, MILEPOST_FAILPOINTS="nowhere=kill")
    code, output = refusal(agent)
    assert code == 2
    assert "unknown failpoint 'nowhere'" in output


@contextmanager
def read_only(directory: Path) -> Iterator[str]:
    """Makes a folder that nothing can be written to, and says what the system calls that; root needs a mount."""
    if os.geteuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(directory)], check=True)
        try:
            yield "Read-only file system"
        finally:
            subprocess.run(["umount", str(directory)], check=True)
    else:
        directory.chmod(0o555)
        yield "Permission denied"
        directory.chmod(0o755)


def test_read_only_state_is_refused(tmp_path: Path) -> None:
    agent = agent_process(tmp_path, SPEC)
    state = tmp_path / "state"
    state.mkdir()
    agent.environment["MILEPOST_DATA_DIR"] = str(state)
    with read_only(state) as reason:
        code, output = refusal(agent)
    assert code == 2
    assert len(output.strip().splitlines()) == 1 and reason in output


@pytest.mark.requirement("AGT-1")
def test_open_watches_end_when_the_agent_stops(tmp_path: Path) -> None:
    agent = agent_process(tmp_path, SPEC, MILEPOST_GRACE_SECONDS="100")
    with running(agent):
        client = AgentClient(agent.target)
        runs = client.agent.WatchRun(agent_pb2.WatchRunRequest(), timeout=PATIENCE)
        services = client.registry.WatchServices(registry_pb2.WatchServicesRequest(), timeout=PATIENCE)
        assert client.agent.GetAgent(agent_pb2.GetAgentRequest(), timeout=PATIENCE).running == 0
        assert agent.stop() == 0
        assert [item.event.type for item in runs] == ["AgentStarted"] and list(services) == []
        client.close()


def test_prompts_go_to_no_hosted_tracing_service(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(1)
        hosted = {
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_API_KEY": "set for another program",
            "LANGSMITH_ENDPOINT": f"http://127.0.0.1:{listener.getsockname()[1]}",
        }
        agent = agent_process(tmp_path, SPEC, **hosted)
        worker = scripted_process(tmp_path, "worker", "coding", agent.target)
        with running(agent, worker):
            client = AgentClient(agent.target)
            client.wait_ready("worker")
            assert client.wait_ended(client.start_run("secret").run_id).outcome == agent_pb2.RUN_OUTCOME_COMPLETED
            client.close()
            with pytest.raises(TimeoutError):
                listener.accept()
