"""Agents of a namespace: which pod a run goes to, how it is found again, and what is said of pods that are away."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cli_fake_agent import CORRELATION_ID, OTHER_RUN_ID, RUN_ID, FakeAgent, review_loop_events
from cli_fake_cluster import NAMESPACE, FakeApi, FakeDialer, condition, container

from milepost.agent.v1 import agent_pb2
from milepost_cli.cluster import backend as cluster_backend
from milepost_cli.cluster.backend import ClusterBackend
from milepost_cli.cluster.errors import ClusterError, ForbiddenError, RefusedError
from milepost_cli.cluster.keeper import PodKeeper
from milepost_cli.cluster.placement import ranked
from milepost_cli.errors import AgentError, AwayError, NotFoundError
from milepost_cli.follow import follow
from milepost_cli.views import PlainView

PODS = ("review-loop-0", "review-loop-1", "review-loop-2")
RUNS = (RUN_ID, "7d3c5a10-0000-4000-8000-00000000000a", "5c120000-0000-4000-8000-00000000000b")
WAITING = {"phase": "Pending", "conditions": [condition("PodScheduled", "False", "Unschedulable", "0/1 nodes")]}


@pytest.fixture
def agents() -> Iterator[dict[str, FakeAgent]]:
    """One agent a pod, each with a run of its own."""
    started = {
        pod: FakeAgent(review_loop_events(), run_id=run, correlation_id=str(uuid.UUID(int=number)))
        for number, (pod, run) in enumerate(zip(PODS, RUNS, strict=True))
    }
    for agent in started.values():
        agent.start()
    yield started
    for agent in started.values():
        agent.go_on.set()
        agent.stop()


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi()
    api.workflow(replicas=3, conditions=[condition("Ready", "True", "Serving")])
    for pod in PODS:
        api.pod(pod, "review-loop")
    return api


@pytest.fixture
def dialer(agents: dict[str, FakeAgent]) -> FakeDialer:
    return FakeDialer(agents)


@pytest.fixture
def backend(api: FakeApi, dialer: FakeDialer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterBackend]:
    """With short patience, since nothing here comes back by itself."""
    monkeypatch.setattr(cluster_backend, "START_PATIENCE", 0.0)
    monkeypatch.setattr(cluster_backend, "ASKING_PATIENCE", 1.0)
    monkeypatch.setattr(cluster_backend, "PodKeeper", impatient)
    with ClusterBackend(api, dialer, NAMESPACE, f" -n {NAMESPACE}") as backend:
        yield backend


def impatient(*arguments: Any) -> PodKeeper:
    return replace(PodKeeper(*arguments), patience=1.0)


@pytest.mark.requirement("AGT-6", "CLI-1")
def test_a_new_run_goes_where_its_correlation_id_is_hashed_to(backend: ClusterBackend) -> None:
    for _ in range(20):
        correlation_id = str(uuid.uuid4())
        chosen = backend.accepting("review-loop", correlation_id, is_new=True)
        assert chosen.name == ranked(PODS, correlation_id)[0]
        assert backend.accepting("review-loop", correlation_id, is_new=False) is chosen


@pytest.mark.requirement("AGT-6", "CLI-1")
def test_a_known_correlation_id_stays_with_its_pod_however_many_there_are(
    backend: ClusterBackend, agents: dict[str, FakeAgent]
) -> None:
    elsewhere = next(pod for pod in PODS if pod != ranked(PODS, CORRELATION_ID)[0])
    agents[elsewhere].correlation_id = CORRELATION_ID
    assert backend.accepting("review-loop", CORRELATION_ID, is_new=False).name == elsewhere


@pytest.mark.requirement("AGT-6", "CLI-1")
def test_a_pod_that_may_know_the_correlation_id_is_not_passed_over(
    backend: ClusterBackend, api: FakeApi, agents: dict[str, FakeAgent]
) -> None:
    agents["review-loop-1"].stop()
    api.pod("review-loop-1", "review-loop", **WAITING)
    with pytest.raises(AwayError, match=r"may be known to a pod that does not answer: review-loop-1: .*0/1 nodes"):
        backend.accepting("review-loop", str(uuid.uuid4()), is_new=False)
    for _ in range(10):
        assert backend.accepting("review-loop", str(uuid.uuid4()), is_new=True).name != "review-loop-1"


@pytest.mark.requirement("CLI-1")
def test_a_run_is_found_in_whichever_pod_has_it(backend: ClusterBackend, agents: dict[str, FakeAgent]) -> None:
    for pod, run_id in zip(PODS, RUNS, strict=True):
        agent, run = backend.with_run(run_id)
        assert (agent.name, run.run_id) == (pod, run_id)
        assert backend.with_run(agents[pod].correlation_id)[1].run_id == run_id
    assert backend.with_run("5c12")[0].name == PODS[2]
    with pytest.raises(NotFoundError, match="7d3c5a10: 2 runs begin so; allowed: more of the id"):
        backend.with_run("7d3c5a10")
    with pytest.raises(NotFoundError, match=f"no run has this id in namespace {NAMESPACE}; `milepost get runs -n"):
        backend.with_run(str(uuid.uuid4()))


def test_two_runs_of_one_correlation_id_are_both_named(backend: ClusterBackend, agents: dict[str, FakeAgent]) -> None:
    for pod in PODS[:2]:
        agents[pod].correlation_id = CORRELATION_ID
    with pytest.raises(NotFoundError, match=r"several runs have this correlation id: .* in review-loop-\d, .*allowed"):
        backend.with_run(CORRELATION_ID)


@pytest.mark.requirement("CLI-1")
def test_a_run_that_only_a_pod_that_is_away_could_know_is_not_called_unknown(
    backend: ClusterBackend, api: FakeApi, agents: dict[str, FakeAgent]
) -> None:
    agents["review-loop-2"].stop()
    with pytest.raises(AwayError, match="no pod that answers knows this run, but not all answer: review-loop-2"):
        backend.with_run(str(uuid.uuid4()))
    assert backend.with_run(RUN_ID)[0].name == "review-loop-0"


@pytest.mark.requirement("CLI-1")
def test_lists_are_put_together_and_say_who_is_away(
    backend: ClusterBackend, api: FakeApi, agents: dict[str, FakeAgent]
) -> None:
    everything = backend.runs(50)
    assert {run.run_id for run in everything.runs} == {*RUNS, OTHER_RUN_ID}
    assert everything.away == []
    del api.objects[f"/api/v1/namespaces/{NAMESPACE}/pods/review-loop-1"]
    api.pod("review-loop-2", "review-loop", **WAITING)
    some = backend.runs(50)
    assert RUNS[1] not in {run.run_id for run in some.runs}
    assert [(one.name, one.reason) for one in some.away] == [
        ("review-loop-1", "it does not exist at this moment"),
        ("review-loop-2", "Pending: Unschedulable: 0/1 nodes"),
    ]
    agents["review-loop-0"].stop()
    with pytest.raises(AwayError, match="no agent of namespace team answers: "):
        backend.runs(50)


@pytest.mark.requirement("CLI-1")
def test_workflows_say_what_their_pods_and_the_operator_say(backend: ClusterBackend, api: FakeApi) -> None:
    message = "spec.arbitrator.modelRef: there is no ModelService big"
    api.workflow("waiting", conditions=[condition("Ready", "False", "ServiceMissing", message)])
    review, waiting = backend.workflows()
    assert (review.workflow.ended, review.pods, review.away) == (6, list(PODS), [])
    assert review.ready is not None
    assert review.ready.status == "True"
    assert review.target == f"review-loop.{NAMESPACE}.svc:50051"
    assert waiting.ready is not None
    assert (waiting.ready.reason, waiting.ready.message) == ("ServiceMissing", message)
    assert [step.name for step in waiting.workflow.steps] == ["code"]
    assert [one.name for one in waiting.away] == ["waiting-0"]


@pytest.mark.requirement("CLI-1")
def test_a_service_that_no_agent_knows_is_there_with_its_reason(backend: ClusterBackend, api: FakeApi) -> None:
    api.service("docs", conditions=[condition("Ready", "True")])
    api.service("big", conditions=[condition("Ready", "False", "OutOfMemory", "needs 8Gi")])
    api.pod("docs-abc", "docs", "rag", containerStatuses=[container(2)])
    big, docs, _ = backend.services()
    assert (docs.service.state, docs.restarts) == (1, 2)
    assert (big.service.name, big.service.state, list(big.service.capabilities)) == ("big", 0, ["rag"])
    assert big.ready is not None
    assert big.ready.reason == "OutOfMemory"


@pytest.mark.requirement("CLI-1")
def test_a_workflow_without_a_pod_says_what_the_operator_says(backend: ClusterBackend, api: FakeApi) -> None:
    api.workflow("waiting", conditions=[condition("Ready", "False", "ServiceMissing", "there is no big")])
    api.workflow("unseen")
    with pytest.raises(AgentError, match="workflow waiting has no pod yet: ServiceMissing: there is no big"):
        backend.accepting("waiting", CORRELATION_ID, is_new=True)
    with pytest.raises(AgentError, match="workflow unseen has no pod yet: the operator has said nothing"):
        backend.accepting("unseen", CORRELATION_ID, is_new=True)
    with pytest.raises(
        NotFoundError, match="no workflow other in namespace team; allowed: review-loop, unseen, waiting"
    ):
        backend.accepting("other", CORRELATION_ID, is_new=True)


@pytest.mark.requirement("CLI-1")
def test_a_workflow_that_is_just_coming_up_is_waited_for_aloud(
    api: FakeApi, dialer: FakeDialer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_backend, "LOOK_EVERY", 0.0)
    told: list[str] = []

    def next_stage(text: str) -> None:
        told.append(text)
        stages.pop(0)()

    stages = [
        lambda: api.pod("fresh-0", "fresh", **WAITING),
        lambda: api.pod("fresh-0", "fresh", containerStatuses=[container(waiting={"reason": "ContainerCreating"})]),
        lambda: api.pod("fresh-0", "fresh"),
    ]
    api.workflow("fresh")
    with ClusterBackend(api, dialer, NAMESPACE, "", next_stage) as backend:
        assert backend.accepting("fresh", CORRELATION_ID, is_new=True).name == "fresh-0"
    assert told == [
        "waiting for the first pod of fresh",
        "waiting for fresh-0: Pending: Unschedulable: 0/1 nodes",
        "waiting for fresh-0: ContainerCreating",
    ]


@pytest.mark.requirement("CLI-1")
def test_a_pod_that_cannot_run_is_not_waited_for_when_the_operator_says_so(api: FakeApi, dialer: FakeDialer) -> None:
    crashing = container(3, waiting={"reason": "CrashLoopBackOff"})
    said = [condition("Ready", "False", "ConfigurationRefused", "no such model"), condition("Degraded", "True")]
    api.workflow("broken", conditions=said)
    api.pod("broken-0", "broken", containerStatuses=[crashing])
    api.workflow("paused", conditions=[condition("Ready", "False", "Paused"), condition("Progressing", "False")])
    with ClusterBackend(api, dialer, NAMESPACE, "") as backend:
        words = r"has no pod that runs: ConfigurationRefused: no such model \(broken-0: CrashLoopBackOff\)"
        with pytest.raises(AgentError, match=words):
            backend.accepting("broken", CORRELATION_ID, is_new=True)
        with pytest.raises(AgentError, match="workflow paused has no pod yet: Paused"):
            backend.accepting("paused", CORRELATION_ID, is_new=True)


@pytest.mark.requirement("CLI-1")
def test_a_place_without_workflows_is_explained(api: FakeApi, dialer: FakeDialer) -> None:
    with ClusterBackend(api, dialer, "nowhere", "") as backend:
        with pytest.raises(ClusterError, match="there is no namespace nowhere; workflows are in: team"):
            backend.workflows()
        api.objects["/api/v1/namespaces/nowhere"] = {"metadata": {"name": "nowhere"}}
        with pytest.raises(
            ClusterError, match="namespace nowhere holds no AgentWorkflow; workflows are in: team; apply"
        ):
            backend.services()
        api.installed = False
        with pytest.raises(ClusterError, match="does not know AgentWorkflow"):
            backend.runs(1)


@pytest.mark.requirement("CLI-1")
def test_a_forwarding_that_is_not_allowed_ends_the_call_at_once(backend: ClusterBackend, dialer: FakeDialer) -> None:
    dialer.refusal = RefusedError('cannot get resource "pods/portforward"', 403)
    began = time.monotonic()
    with pytest.raises(ForbiddenError, match="403: cannot get resource"):
        backend.accepting("review-loop", CORRELATION_ID, is_new=True).within(60).describe()
    assert time.monotonic() - began < 30


def test_a_denial_after_a_connection_is_waited_out(
    backend: ClusterBackend, dialer: FakeDialer, agents: dict[str, FakeAgent]
) -> None:
    agent, _ = backend.with_run(RUN_ID)
    dialer.refusal = RefusedError("roles are not read yet", 403)
    agents["review-loop-0"].stop()
    with pytest.raises(AwayError, match="roles are not read yet"):
        agent.describe()
    agents["review-loop-0"].start()
    dialer.refusal = None
    assert agent.describe().workflow == "review-loop"


@pytest.mark.requirement("CLI-1")
def test_a_cluster_that_is_far_away_is_reached(backend: ClusterBackend, dialer: FakeDialer) -> None:
    dialer.takes = 1.5
    agent = backend.accepting("review-loop", CORRELATION_ID, is_new=True).within(30)
    assert agent.describe().workflow == "review-loop"
    assert len(dialer.dialled) == 1


@pytest.mark.requirement("CLI-1")
def test_a_pod_that_is_replaced_is_a_pause_in_what_is_followed(
    backend: ClusterBackend, api: FakeApi, agents: dict[str, FakeAgent], capsys: pytest.CaptureFixture[str]
) -> None:
    agent, run = backend.with_run(RUN_ID)
    played = agents["review-loop-0"]
    played.pause_after = 5

    def replace_pod() -> None:
        assert played.paused.wait(30)
        api.pod("review-loop-0", "review-loop", **WAITING)
        played.pause_after = None
        played.stop()
        threading.Event().wait(2.5)
        api.pod("review-loop-0", "review-loop")
        played.start()

    replacing = threading.Thread(target=replace_pod)
    replacing.start()
    assert follow(agent, run, backend.option, PlainView(run, backend.option)) == 0
    replacing.join()
    told = capsys.readouterr().out
    assert told.count("research: smollm2 done") == 1
    lost = told.index("connection to the agent lost, waiting for it to come back")
    seen = told.index("waiting for the agent: pod review-loop-0: Pending: Unschedulable: 0/1 nodes")
    back = told.index("agent answers again after")
    assert lost < seen < back < told.index("Completed after")


@pytest.mark.requirement("CLI-1")
def test_a_run_of_a_deleted_workflow_or_of_a_pod_that_is_scaled_away_is_not_waited_for(
    backend: ClusterBackend, api: FakeApi, agents: dict[str, FakeAgent]
) -> None:
    agent, _ = backend.with_run(RUNS[2])
    agents["review-loop-2"].stop()
    api.workflow(replicas=2)
    del api.objects[f"/api/v1/namespaces/{NAMESPACE}/pods/review-loop-2"]
    with pytest.raises(
        NotFoundError, match="pod review-loop-2 is no longer wanted: workflow review-loop has 2 replicas"
    ):
        agent.get_run(RUNS[2])
    other, _ = backend.with_run(RUN_ID)
    agents["review-loop-0"].stop()
    api.objects = {path: one for path, one in api.objects.items() if "agentworkflows" not in path}
    with pytest.raises(NotFoundError, match="workflow review-loop was deleted from namespace team"):
        other.get_run(RUN_ID)


def test_a_pod_that_stays_away_is_named_with_the_command_for_its_log(
    backend: ClusterBackend, agents: dict[str, FakeAgent]
) -> None:
    agent, _ = backend.with_run(RUN_ID)
    agents["review-loop-0"].stop()
    with pytest.raises(AwayError, match=r"review-loop-0: .*refused; its log: kubectl logs -n team review-loop-0$"):
        agent.describe()


def test_commands_that_are_shown_lead_to_the_same_place(
    backend: ClusterBackend, agents: dict[str, FakeAgent], capsys: pytest.CaptureFixture[str]
) -> None:
    question = agent_pb2.RunEvent(run_id=RUN_ID, type="QuestionAsked")
    question.data.update({"question_id": "q1", "text": "Which?"})
    PlainView(backend.with_run(RUN_ID)[1], backend.option).event(question)
    assert f'milepost answer {RUN_ID} q1 "your answer" -n team' in capsys.readouterr().out
