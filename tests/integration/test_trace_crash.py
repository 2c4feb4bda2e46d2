"""The trace of a run whose agent is killed, at a real OTLP receiver: one trace, nothing twice, the lost spans there."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from milepost.agent.v1 import agent_pb2
from otlp_receiver import OtlpReceiver, ReceivedSpan, receiving
from processes import AgentClient, Process, agent_process, running, scripted_process

STEPS = [
    {"name": "research", "role": "researcher", "capability": "rag"},
    {"name": "code", "role": "coder", "capability": "coding"},
    {"name": "review", "role": "reviewer", "capability": "review"},
]
FLOW: dict[str, Any] = {
    "pattern": "cyclic",
    "steps": STEPS,
    "cycle": {"from": "review", "to": "code"},
    "arbitrator": {"modelRef": {"name": "worker"}},
}
EXPECTED = ["research", "code", "review", "code", "review"]
ERROR = 2
PATIENCE = 60.0
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class World:
    """An agent and two services that can do each step, which send their spans to one receiver."""

    receiver: OtlpReceiver
    agent: Process
    client: AgentClient
    gate: Path

    def release(self) -> None:
        """Lets what a prompt holds up go on."""
        self.gate.touch()

    def restart(self) -> None:
        self.agent.kill()
        self.agent.start()
        self.agent.wait_serving()

    def trace(self, run: agent_pb2.Run) -> list[ReceivedSpan]:
        """The spans of a run that has ended, once its root is there and nothing more comes; each once.

        A span may come twice when a kill falls between its export and the note of it; then it is the same.
        """

        def whole(spans: list[ReceivedSpan]) -> bool:
            ours = [span for span in spans if span.attributes.get("correlation.id") == run.correlation_id]
            ids = {span.span_id for span in ours} | {CALLER.split("-")[2]}
            return any(span.name == "agent.run" for span in ours) and all(
                not span.parent_id or span.parent_id in ids for span in ours
            )

        self.receiver.wait_for(whole)
        time.sleep(1.0)
        ours = [span for span in self.receiver.spans() if span.attributes.get("correlation.id") == run.correlation_id]
        assert whole(ours), orphans(ours)
        content: dict[str, ReceivedSpan] = {}
        for span in ours:
            assert content.setdefault(span.span_id, span) == span, "a span came twice, and not the same"
        return list(content.values())


def orphans(spans: list[ReceivedSpan]) -> list[tuple[str, str]]:
    ids = {span.span_id for span in spans}
    return [(span.service, span.name) for span in spans if span.parent_id and span.parent_id not in ids]


@contextmanager
def world(directory: Path, receiver: OtlpReceiver, services: int = 2, **environment: str) -> Iterator[World]:
    exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100", **environment}
    agent = agent_process(directory, FLOW, **exporting)
    names = ("worker", "helper")[:services]
    workers = [scripted_process(directory, name, "rag,coding,review", agent.target, rejections=1) for name in names]
    for worker in workers:
        worker.environment |= {**exporting, "SCRIPTED_RELEASE": str(directory / "release")}
    with running(agent, *workers):
        client = AgentClient(agent.target)
        client.wait_ready(*names)
        try:
            yield World(receiver, agent, client, directory / "release")
        finally:
            client.close()


def assert_one_tree(spans: list[ReceivedSpan], run: agent_pb2.Run) -> ReceivedSpan:
    """One trace, one root, nothing without its parent, every completed step once, the ids everywhere; the root."""
    assert len({span.trace_id for span in spans}) == 1
    assert orphans(spans) == []
    roots = [span for span in spans if not span.parent_id]
    assert [span.name for span in roots] == ["agent.run"]
    agent = [span for span in spans if span.service == "flow"]
    assert {span.attributes["thread.id"] for span in agent} == {run.run_id}
    assert {span.attributes["gen_ai.conversation.id"] for span in agent} == {run.run_id}
    assert {span.attributes["correlation.id"] for span in spans} == {run.correlation_id}
    completed = [span for span in agent if "milepost.remaining_hops" in span.attributes]
    assert [span.attributes["milepost.step"] for span in sorted(completed, key=lambda span: span.end)] == EXPECTED
    saved = Counter(span.attributes["milepost.step"] for span in agent if span.name == "checkpoint.save")
    assert saved == Counter(EXPECTED)
    assert all(span.start <= span.end for span in spans)
    return roots[0]


def lost(spans: list[ReceivedSpan]) -> list[ReceivedSpan]:
    found = sorted((span for span in spans if span.attributes.get("milepost.lost")), key=lambda span: span.start)
    assert all(span.status == ERROR and span.attributes["milepost.lost.cause"] == "crash" for span in found)
    return found


def wait_for_score(world: World, run: agent_pb2.Run, step: str) -> None:
    """Until the arbitration of a step is under way: its model is held by the prompt."""
    world.client.wait_event(run.run_id, "Recommended", step)
    time.sleep(0.5)


@pytest.mark.requirement("OBS-2", "OBS-4")
def test_an_undisturbed_run_is_one_tree_over_all_its_processes(tmp_path: Path) -> None:
    """Without a context of its caller the trace id is the run id, and no span of the agent is lost or extra."""
    with receiving() as receiver, world(tmp_path, receiver) as our:
        run = our.client.wait_ended(our.client.start_run("go").run_id)
        spans = our.trace(run)
        status = our.client.agent.GetAgent(agent_pb2.GetAgentRequest(), timeout=60).telemetry
    root = assert_one_tree(spans, run)
    assert root.trace_id == run.run_id.replace("-", "") == run.trace_context.traceparent.split("-")[1]
    assert root.span_id == run.trace_context.traceparent.split("-")[2]
    assert lost(spans) == []
    own = Counter(span.name for span in spans if span.service == "flow")
    assert own == {
        "agent.run": 1,
        "agent.route_recommendation": 5,
        "agent.arbitrate": 5,
        "invoke_agent researcher": 1,
        "invoke_agent coder": 2,
        "invoke_agent reviewer": 2,
        "checkpoint.save": 5,
    }
    served = {span.span_id: span for span in spans}
    for span in spans:
        if span.name.endswith("/Invoke"):
            assert served[span.parent_id].name.startswith("invoke_agent ")
        if span.name.endswith("/Score"):
            assert served[span.parent_id].name == "agent.arbitrate"
    second = [span for span in spans if span.name == "invoke_agent coder"][1]
    assert second.links == ((root.trace_id, next(s for s in spans if s.name == "invoke_agent reviewer").span_id),)
    assert status.endpoint == receiver.endpoint
    assert (status.exported_spans, status.dropped, status.lag_events, status.failure) == (sum(own.values()), 0, 0, "")


@pytest.mark.requirement("OBS-2")
def test_a_caller_with_a_context_is_the_parent_of_the_run(tmp_path: Path) -> None:
    """The run is a child of the span that StartRun came with, also when the agent died before it was driven."""
    with receiving() as receiver, world(tmp_path, receiver, services=1) as our:
        request = agent_pb2.StartRunRequest(prompt="go")
        request.trace_context.traceparent = CALLER
        run = our.client.agent.StartRun(request, timeout=PATIENCE).run
        our.restart()
        spans = our.trace(our.client.wait_ended(run.run_id))
    root = next(span for span in spans if span.name == "agent.run")
    assert (root.trace_id, root.parent_id) == tuple(CALLER.split("-")[1:3])
    assert {span.trace_id for span in spans} == {root.trace_id}


@pytest.mark.requirement("OBS-2", "OBS-4", "DUR-3")
@pytest.mark.parametrize("kills", [1, 2], ids=["once", "twice in a row"])
def test_killed_in_the_middle_of_a_step(tmp_path: Path, kills: int) -> None:
    """The attempt that was open is there and marked as lost, above the span of its service; the next points back."""
    with receiving() as receiver, world(tmp_path, receiver, services=1) as our:
        run = our.client.start_run("go hold=coder/1/100")
        our.client.wait_event(run.run_id, "StepStarted", "code")
        for number in range(kills):
            our.restart()
            if number + 1 < kills:
                wait_event_after(our.client, run.run_id, "StepStarted", number + 1)
        our.release()
        ended = our.client.wait_ended(run.run_id)
        events = list(our.client.events(run.run_id))
        spans = our.trace(ended)
    root = assert_one_tree(spans, ended)
    gone = lost(spans)
    assert [span.name for span in gone] == ["invoke_agent coder"] * kills
    resumed = [event for event in events if event.type == "RunResumed"]
    told = [each["span_id"] for event in resumed for each in event.data["lost"]]
    assert told == [span.span_id for span in gone]
    attempts = sorted((span for span in spans if span.name == "invoke_agent coder"), key=lambda span: span.start)
    assert [link[1] for link in attempts[kills].links] == [gone[-1].span_id]
    assert {span.parent_id for span in spans if span.name.endswith("/Invoke")} >= {span.span_id for span in gone}
    assert root.events.count("RunResumed") == root.attributes["milepost.run.recoveries"] == kills


@pytest.mark.requirement("OBS-2", "DUR-3")
@pytest.mark.parametrize("kills", [1, 2], ids=["once", "twice in a row"])
def test_killed_in_the_middle_of_an_arbitration(tmp_path: Path, kills: int) -> None:
    """The model goes on with what it was asked: its span hangs below the arbitration that is marked as lost."""
    with receiving() as receiver, world(tmp_path, receiver) as our:
        run = our.client.start_run("go hold=score/2/100")
        wait_for_score(our, run, "code")
        for number in range(kills):
            our.restart()
            if number + 1 < kills:
                wait_event_after(our.client, run.run_id, "RunResumed", number)
                time.sleep(0.5)
        our.release()
        ended = our.client.wait_ended(run.run_id)
        spans = our.trace(ended)
    assert_one_tree(spans, ended)
    gone = lost(spans)
    assert [span.name for span in gone] == ["agent.arbitrate"] * kills
    scored = [span.parent_id for span in spans if span.name.endswith("/Score")]
    assert {span.span_id for span in gone} <= set(scored)


def wait_event_after(client: AgentClient, run_id: str, kind: str, resumed: int) -> None:
    """Until there is such an event after the run went on so often."""
    found = 0
    for event in client.events(run_id):
        if found == resumed and event.type == kind:
            return
        found += event.type == "RunResumed"


@pytest.mark.requirement("OBS-2", "AGT-4")
def test_stopped_in_order_in_the_middle_of_a_step(tmp_path: Path) -> None:
    """A step that SIGTERM cuts off is lost by a restart, and no other span is called lost."""
    with receiving() as receiver, world(tmp_path, receiver, services=1, MILEPOST_DRAIN_SECONDS="0.1") as our:
        run = our.client.start_run("go hold=coder/1/100")
        our.client.wait_event(run.run_id, "StepStarted", "code")
        assert our.agent.stop() == 0
        our.agent.start()
        our.agent.wait_serving()
        our.release()
        ended = our.client.wait_ended(run.run_id)
        spans = our.trace(ended)
    assert_one_tree(spans, ended)
    gone = [span for span in spans if span.attributes.get("milepost.lost")]
    assert [(span.name, span.attributes["milepost.lost.cause"]) for span in gone] == [("invoke_agent coder", "restart")]


@pytest.mark.requirement("OBS-2")
@pytest.mark.parametrize("kill", [False, True], ids=["alive", "killed before"])
def test_cancelled_in_the_middle_of_a_step(tmp_path: Path, kill: bool) -> None:
    """The attempt ends with the run, so that the span of its service has a parent."""
    with receiving() as receiver, world(tmp_path, receiver, services=1) as our:
        run = our.client.start_run("go hold=coder/1/100")
        our.client.wait_event(run.run_id, "StepStarted", "code")
        if kill:
            our.restart()
            wait_event_after(our.client, run.run_id, "StepStarted", 1)
        our.client.agent.CancelRun(agent_pb2.CancelRunRequest(run_id=run.run_id, reason="enough"), timeout=PATIENCE)
        our.release()
        spans = our.trace(our.client.wait_ended(run.run_id))
    assert orphans(spans) == []
    attempts = [span for span in spans if span.name == "invoke_agent coder"]
    assert [span.status for span in attempts] == [ERROR] * (1 + kill)
    assert len(lost(spans)) == kill


@pytest.mark.requirement("OBS-5")
def test_nothing_is_lost_by_a_receiver_that_is_down_at_first(tmp_path: Path) -> None:
    """The whole trace comes once somebody listens, though the agent was killed in between."""
    receiver = OtlpReceiver()
    with world(tmp_path, receiver, services=1, OTEL_EXPORTER_OTLP_TIMEOUT="1") as our:
        run = our.client.wait_ended(our.client.start_run("go").run_id)
        status = wait_status(our.client, lambda status: bool(status.failure))
        assert (status.exported_spans, status.dropped) == (0, 0)
        assert status.lag_events > 0
        assert "UNAVAILABLE" in status.failure and "\n" not in status.failure
        our.restart()
        with receiving(receiver):
            spans = our.trace(run)
    assert_one_tree(spans, run)


@pytest.mark.requirement("OBS-5")
def test_runs_do_not_feel_a_receiver_that_refuses(tmp_path: Path) -> None:
    """Runs end as ever; what is refused is counted as dropped, and why is shown."""

    def refuse(context: Any) -> None:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "who are you?")

    with receiving() as receiver:
        receiver.admit = refuse
        with world(tmp_path, receiver, services=1) as our:
            ended = [our.client.wait_ended(our.client.start_run("go").run_id) for _ in range(3)]
            status = wait_status(our.client, lambda status: status.dropped > 0 and not status.lag_events)
            shown = our.client.agent.GetObservability(agent_pb2.GetObservabilityRequest(), timeout=60).telemetry
    assert {run.outcome for run in ended} == {agent_pb2.RUN_OUTCOME_COMPLETED}
    assert status.exported_spans == 0
    assert "PERMISSION_DENIED: who are you?" in status.failure
    assert (shown.dropped, shown.failure) == (status.dropped, status.failure)
    assert receiver.spans() == []


@pytest.mark.requirement("OBS-5")
def test_runs_do_not_feel_a_receiver_that_never_answers(tmp_path: Path) -> None:
    """Runs end, the lag grows and is shown, and SIGTERM ends the agent all the same."""
    with receiving() as receiver:
        receiver.admit = lambda context: time.sleep(2)
        with world(tmp_path, receiver, services=1, OTEL_EXPORTER_OTLP_TIMEOUT="0.5") as our:
            ended = [our.client.wait_ended(our.client.start_run("go").run_id) for _ in range(3)]
            status = wait_status(our.client, lambda status: "DEADLINE_EXCEEDED" in status.failure)
            assert our.agent.stop() == 0
    assert {run.outcome for run in ended} == {agent_pb2.RUN_OUTCOME_COMPLETED}
    assert status.lag_events > 0 and status.dropped == 0


def wait_status(client: AgentClient, enough: Callable[[agent_pb2.TelemetryStatus], bool]) -> agent_pb2.TelemetryStatus:
    deadline = time.monotonic() + PATIENCE
    while True:
        status = client.agent.GetAgent(agent_pb2.GetAgentRequest(), timeout=60).telemetry
        if enough(status):
            return status
        assert time.monotonic() < deadline, status
        time.sleep(0.1)
