"""The agents of one namespace: found through the API server, asked through its port forwarding.

A run belongs to the pod that accepted it, because each pod keeps its runs on a volume of its own. So one that is asked
for is looked for in all pods, and lists are put together from all of them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Self, TypeVar

from milepost.agent.v1 import agent_pb2
from milepost.registry.v1 import registry_pb2
from milepost_cli.backend import (
    PAGE,
    Away,
    Messages,
    Runs,
    ServiceRow,
    WorkflowRow,
    is_uuid,
    may_begin_an_id,
    newest_first,
    newest_messages,
    only_match,
)
from milepost_cli.client import EVERY_RUN, Agent, RunQuery
from milepost_cli.cluster.discovery import Namespace, Snapshot
from milepost_cli.cluster.errors import UnreachableError
from milepost_cli.cluster.forwarding import Dialer, Forwarder
from milepost_cli.cluster.keeper import LOOK_EVERY, Api, PodKeeper
from milepost_cli.cluster.placement import ranked
from milepost_cli.cluster.resources import AGENT_PORT, OperatedService, Pod, Workflow, ready_text
from milepost_cli.errors import AgentError, AwayError, NotFoundError
from milepost_cli.views import write_note

Answer = TypeVar("Answer")
CHANNEL_OPTIONS = (
    # a connection that died on the way is noticed, and none looks idle to what is in between
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # by this name, how long one attempt to connect may take: far away, a forwarding is not made in 50 ms
    ("grpc.min_reconnect_backoff_ms", 15_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
ATTEMPT_TIMEOUT = 10.0
ASKING_PATIENCE = 10.0  # seconds that a pod may take to answer one of several
UNREADY_PATIENCE = 3.0  # seconds for one that runs and is not ready
START_PATIENCE = 120.0  # seconds that the first pod of a workflow may take, its image included
MOST_AT_ONCE = 16


class ClusterBackend:
    """`option` ends every command that is shown, so that it finds the same namespace of the same cluster.

    `tell` takes one line for people while something is waited for.
    """

    def __init__(
        self, api: Api, dialer: Dialer, namespace: str, option: str, tell: Callable[[str], None] = write_note
    ) -> None:
        self._api = api
        self._tell = tell
        self._namespace = Namespace(api, namespace)
        self._option = option
        self._forwarder = Forwarder(dialer)
        self._agents: dict[str, Agent] = {}
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="asking")

    @property
    def option(self) -> str:
        return self._option

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for agent in self._agents.values():
            agent.close()
        self._forwarder.close()
        self._api.close()

    def accepting(self, workflow: str, correlation_id: str, *, is_new: bool) -> Agent:
        """The pod that knows the id, else the one that the id is hashed to, else, for a new id, one that is ready."""
        snapshot = self._with_pods(workflow)
        wanted = snapshot.workflow(workflow)
        if not is_new:
            known = self._knowing(snapshot, wanted, correlation_id)
            if known is not None:
                return known
        order = ranked(wanted.pods, correlation_id)
        there = [snapshot.pods[name] for name in order if is_new and name in snapshot.pods]
        ready = [pod.name for pod in there if pod.ready] or [pod.name for pod in there if pod.up]
        return self._agent(wanted, (ready or order)[0], snapshot)

    def serving(self, workflow: str) -> Sequence[Agent]:
        snapshot = self._with_pods(workflow)
        return self._of(snapshot.workflow(workflow), snapshot)

    def with_run(self, run_id: str) -> tuple[Agent, agent_pb2.Run]:
        """Waits for a pod that is away as for any agent, unless another one has the run."""
        snapshot = self._namespace.look()
        found, away = self._by_id(run_id, snapshot) if is_uuid(run_id) else self._by_prefix(run_id, snapshot)
        if found is not None:
            return found
        if away:
            raise AwayError(f"{run_id}: no pod that answers knows this run, but not all answer: {_named(away)}")
        raise NotFoundError(
            f"{run_id}: no run has this id in namespace {snapshot.namespace}; "
            f"`milepost get runs{self._option}` lists them"
        )

    def runs(self, limit: int, wanted: RunQuery = EVERY_RUN) -> Runs:
        answers, away = self._ask_everywhere(lambda agent: agent.list_runs(limit, wanted))
        return Runs(newest_first([run for runs in answers for run in runs], limit), away)

    def messages(self, limit: int) -> Messages:
        answers, away = self._ask_everywhere(lambda agent: agent.newest_messages(limit))
        return Messages(newest_messages([message for messages in answers for message in messages], limit), away)

    def services(self) -> Sequence[ServiceRow]:
        """All ModelServices, and what else the agents know."""
        snapshot = self._namespace.look(need_workflows=False)
        operated = {one.registered.name: one for one in self._namespace.services()}
        answers, _ = self._ask_all(snapshot.workflows, snapshot, lambda agent: agent.services())
        known: dict[str, registry_pb2.Service] = {}
        for _, services in answers:
            for service in services:
                known.setdefault(service.name, service)
        if not operated and not known:
            raise self._namespace.emptiness()
        names = sorted({*operated, *known})
        return [_service_row(name, known.get(name), operated.get(name), snapshot) for name in names]

    def workflows(self) -> Sequence[WorkflowRow]:
        snapshot = self._namespace.look()
        answers, away = self._ask_all(snapshot.workflows, snapshot, lambda agent: agent.describe())
        rows = []
        for workflow in snapshot.workflows:
            names = [pod.name for pod in snapshot.pods_of(workflow)]
            described = [one for agent, one in answers if agent.workflow == workflow.name]
            missing = [one for one in away if one.name in names]
            rows.append(WorkflowRow(_sum(workflow, described), workflow.endpoint, workflow.ready, names, missing))
        return rows

    def _with_pods(self, workflow: str) -> Snapshot:
        """Waits for the first pod that runs, and tells what for. Raises AgentError when none is to come."""
        deadline = time.monotonic() + START_PATIENCE
        told = ""
        snapshot = self._namespace.look()
        while True:
            wanted = snapshot.workflow(workflow)
            pods = [snapshot.pods[name] for name in wanted.pods if name in snapshot.pods]
            if any(pod.up for pod in pods):
                return snapshot
            late = time.monotonic() > deadline
            if late or wanted.degraded or not (pods or wanted.progressing):
                raise AgentError(_without_pods(wanted, pods))
            waits = f"{pods[0].name}: {pods[0].trouble}" if pods else f"the first pod of {workflow}"
            if waits != told:
                told = waits
                self._tell(f"waiting for {waits}")
            time.sleep(LOOK_EVERY)
            with contextlib.suppress(UnreachableError):
                snapshot = self._namespace.look()

    def _knowing(self, snapshot: Snapshot, workflow: Workflow, correlation_id: str) -> Agent | None:
        """Raises AwayError when a pod that may know the id does not answer: two pods with one id would be two runs."""
        agents = self._of(workflow, snapshot)
        if len(agents) == 1:
            return agents[0]
        found, away = self._search(agents, correlation_id)
        if not found and away:
            raise AwayError(
                f"correlation id {correlation_id} may be known to a pod that does not answer: {_named(away)}"
            )
        return found[0][0] if found else None

    def _by_id(self, run_id: str, snapshot: Snapshot) -> tuple[tuple[Agent, agent_pb2.Run] | None, list[Away]]:
        agents = [agent for workflow in snapshot.workflows for agent in self._of(workflow, snapshot)]
        found, away = self._search(agents, run_id)
        if len(found) > 1:
            names = ", ".join(f"{run.run_id} in {agent.name}" for agent, run in found)
            raise NotFoundError(f"{run_id}: several runs have this correlation id: {names}; allowed: a run id")
        return (found[0] if found else None), away

    def _by_prefix(self, run_id: str, snapshot: Snapshot) -> tuple[tuple[Agent, agent_pb2.Run] | None, list[Away]]:
        if not may_begin_an_id(run_id):
            return None, []
        wanted = RunQuery(text=run_id)
        answers, away = self._ask_all(snapshot.workflows, snapshot, lambda agent: agent.list_runs(PAGE, wanted))
        listed = [(agent, run) for agent, runs in answers for run in runs if run.run_id.startswith(run_id)]
        match = only_match(run_id, listed)
        return ((match[0], match[0].get_run(match[1].run_id)) if match is not None else None), away

    def _search(self, agents: Sequence[Agent], run_id: str) -> tuple[list[tuple[Agent, agent_pb2.Run]], list[Away]]:
        """Who has the run, and who could not be asked. A run id is of one pod: who has it ends the search."""
        found: list[tuple[Agent, agent_pb2.Run]] = []
        away: list[Away] = []
        asked = {self._pool.submit(agent.get_run, run_id): agent for agent in agents}
        for future in as_completed(asked):
            agent = asked[future]
            try:
                run = future.result()
            except NotFoundError:
                continue
            except AwayError as error:
                away.append(Away(agent.name, str(error)))
            else:
                found.append((agent, run))
                if run.run_id == run_id:
                    break
        return found, away

    def _ask_everywhere(self, question: Callable[[Agent], Answer]) -> tuple[list[Answer], list[Away]]:
        """Answers of all pods of the namespace that do. Raises AwayError when there are pods and none does."""
        snapshot = self._namespace.look()
        answers, away = self._ask_all(snapshot.workflows, snapshot, question)
        if away and not answers:
            raise AwayError(f"no agent of namespace {snapshot.namespace} answers: {_named(away)}")
        return [answer for _, answer in answers], away

    def _ask_all(
        self, workflows: Iterable[Workflow], snapshot: Snapshot, question: Callable[[Agent], Answer]
    ) -> tuple[list[tuple[Agent, Answer]], list[Away]]:
        """Asks every pod whose container runs; the others, and those that do not answer soon, are away."""
        asked: dict[Future[Answer], Agent] = {}
        away: list[Away] = []
        for workflow in workflows:
            for pod in snapshot.pods_of(workflow):
                if pod.up:
                    agent = self._agent(workflow, pod.name, snapshot)
                    patience = ASKING_PATIENCE if pod.ready else UNREADY_PATIENCE
                    asked[self._pool.submit(question, agent.within(patience))] = agent
                else:
                    away.append(Away(pod.name, pod.trouble))
        answers: list[tuple[Agent, Answer]] = []
        for future, agent in asked.items():
            try:
                answers.append((agent, future.result()))
            except AwayError as error:
                away.append(Away(agent.name, str(error)))
        return answers, away

    def _of(self, workflow: Workflow, snapshot: Snapshot) -> list[Agent]:
        return [self._agent(workflow, pod.name, snapshot) for pod in snapshot.pods_of(workflow)]

    def _agent(self, workflow: Workflow, pod: str, snapshot: Snapshot) -> Agent:
        if pod not in self._agents:
            port = snapshot.pods[pod].port if pod in snapshot.pods else AGENT_PORT
            keeper = PodKeeper(self._api, snapshot.namespace, workflow.name, pod, self._option, self._forwarder)
            self._agents[pod] = Agent(
                workflow.name,
                self._forwarder.target(pod, port),
                keeper,
                name=pod,
                options=CHANNEL_OPTIONS,
                attempt_timeout=ATTEMPT_TIMEOUT,
            )
        return self._agents[pod]


def _without_pods(workflow: Workflow, pods: Sequence[Pod]) -> str:
    if not pods:
        return f"workflow {workflow.name} has no pod yet: {ready_text(workflow.ready)}"
    seen = "; ".join(f"{pod.name}: {pod.trouble}" for pod in pods)
    return f"workflow {workflow.name} has no pod that runs: {ready_text(workflow.ready)} ({seen})"


def _named(away: Sequence[Away]) -> str:
    return "; ".join(f"{one.name}: {one.reason}" for one in away)


def _sum(workflow: Workflow, described: Sequence[agent_pb2.GetAgentResponse]) -> agent_pb2.GetAgentResponse:
    """One pod's words with the counts of all; the spec's words when none answers."""
    total = agent_pb2.GetAgentResponse()
    total.CopyFrom(described[0] if described else workflow.described)
    total.running = sum(one.running for one in described)
    total.waiting = sum(one.waiting for one in described)
    total.ended = sum(one.ended for one in described)
    return total


def _service_row(
    name: str, known: registry_pb2.Service | None, operated: OperatedService | None, snapshot: Snapshot
) -> ServiceRow:
    service = known or (operated.registered if operated is not None else registry_pb2.Service(name=name))
    restarts = sum(pod.restarts for pod in snapshot.services_pods(name))
    return ServiceRow(service, restarts, operated.ready if operated is not None else None)
