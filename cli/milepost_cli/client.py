"""The agents of the running `milepost up`, over gRPC: which one knows a run, and what it answers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

import grpc

from milepost.agent.v1 import agent_pb2, agent_pb2_grpc
from milepost.registry.v1 import registry_pb2, registry_pb2_grpc
from milepost_cli.errors import AgentError, NotFoundError
from milepost_cli.state import StateDirectory, UpRecord
from milepost_cli.text import one_line

if TYPE_CHECKING:
    from grpc import UnaryUnaryMultiCallable as Unary

Request = TypeVar("Request")
Answer = TypeVar("Answer")
CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
)
ATTEMPT_TIMEOUT = 2.0  # seconds; between attempts it is checked whether the supervisor still lives
PATIENCE = 30.0  # seconds that an agent may take to come back
SHORTEST_PREFIX = 4
PAGE = 500


class Agent:
    """One agent. Every call is repeated while the agent is away, so each must be safe to repeat."""

    def __init__(self, workflow: str, target: str, state: StateDirectory, patience: float = PATIENCE) -> None:
        self.workflow = workflow
        self._state = state
        self._patience = patience
        self._channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
        self.stub = agent_pb2_grpc.AgentServiceStub(self._channel)
        self._registry = registry_pb2_grpc.RegistryServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def start_run(self, prompt: str, correlation_id: str) -> agent_pb2.StartRunResponse:
        request = agent_pb2.StartRunRequest(correlation_id=correlation_id, prompt=prompt, workflow=self.workflow)
        return self._call(self.stub.StartRun, request)

    def get_run(self, run_id: str) -> agent_pb2.Run:
        return self._call(self.stub.GetRun, agent_pb2.GetRunRequest(run_id=run_id)).run

    def list_runs(self, limit: int) -> list[agent_pb2.Run]:
        """Newest first, at most `limit`."""
        runs: list[agent_pb2.Run] = []
        token = ""
        while len(runs) < limit:
            size = min(PAGE, limit - len(runs))
            page = self._call(self.stub.ListRuns, agent_pb2.ListRunsRequest(page_size=size, page_token=token))
            runs.extend(page.runs)
            token = page.next_page_token
            if not token:
                break
        return runs

    def cancel(self, run_id: str, reason: str) -> agent_pb2.Run:
        return self._call(self.stub.CancelRun, agent_pb2.CancelRunRequest(run_id=run_id, reason=reason)).run

    def answer(self, run_id: str, question_id: str, answer: str) -> agent_pb2.Run:
        request = agent_pb2.AnswerQuestionRequest(run_id=run_id, question_id=question_id, answer=answer)
        return self._call(self.stub.AnswerQuestion, request).run

    def decide(self, run_id: str, approval_id: str, *, approve: bool, comment: str) -> agent_pb2.Run:
        decision = agent_pb2.APPROVAL_DECISION_APPROVE if approve else agent_pb2.APPROVAL_DECISION_REJECT
        request = agent_pb2.DecideApprovalRequest(
            run_id=run_id, approval_id=approval_id, decision=decision, comment=comment
        )
        return self._call(self.stub.DecideApproval, request).run

    def describe(self) -> agent_pb2.GetAgentResponse:
        return self._call(self.stub.GetAgent, agent_pb2.GetAgentRequest())

    def services(self) -> list[registry_pb2.Service]:
        return list(self._call(self._registry.ListServices, registry_pb2.ListServicesRequest()).services)

    def _call(self, method: Unary[Request, Answer], request: Request) -> Answer:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return method(request, timeout=ATTEMPT_TIMEOUT, wait_for_ready=True)
            except grpc.RpcError as error:
                if not is_away(error):
                    raise refusal(error) from error
                self._state.running()
                if time.monotonic() > deadline:
                    raise AgentError(
                        f"the agent of {self.workflow} has not answered for {self._patience:.0f} s; "
                        f"its log is {self._state.logs / self.workflow}.log"
                    ) from error
                time.sleep(0.05)


def is_away(error: grpc.RpcError) -> bool:
    """Whether the agent could not be reached, as opposed to having said no."""
    return error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


def refusal(error: grpc.RpcError) -> AgentError:
    """What the agent said, as one line."""
    code = error.code()
    details = one_line(error.details() or "", 500)
    if code is grpc.StatusCode.NOT_FOUND:
        return NotFoundError(details or "the agent does not know this run")
    return AgentError(details or f"the agent refused: {code.name}")


class Agents:
    """All agents of the state directory. Raises NotRunningError when nothing runs on it."""

    def __init__(self, state: StateDirectory) -> None:
        self.state = state
        self.record: UpRecord = state.running()
        self._open: dict[str, Agent] = {}

    def __iter__(self) -> Iterator[Agent]:
        return (self.of(workflow) for workflow in self.record.workflows)

    def of(self, workflow: str) -> Agent:
        """The agent of a workflow. Raises NotFoundError."""
        if workflow not in self.record.workflows:
            raise NotFoundError(
                f"no workflow {workflow} here; allowed: {', '.join(self.record.workflows) or 'none is up yet'}"
            )
        if workflow not in self._open:
            self._open[workflow] = Agent(workflow, self.record.workflows[workflow], self.state)
        return self._open[workflow]

    def with_run(self, run_id: str) -> tuple[Agent, agent_pb2.Run]:
        """The run of a run id, a correlation id, or the only one whose id begins so. Raises NotFoundError."""
        for agent in self:
            with contextlib.suppress(NotFoundError):
                return agent, agent.get_run(run_id)
        if len(run_id) >= SHORTEST_PREFIX:
            found = [(agent, run) for agent in self for run in agent.list_runs(PAGE) if run.run_id.startswith(run_id)]
            if len(found) == 1:
                agent, run = found[0]
                return agent, agent.get_run(run.run_id)
            if found:
                raise NotFoundError(f"{run_id}: {len(found)} runs begin so; allowed: more of the id")
        raise NotFoundError(f"{run_id}: no run has this id here; `milepost get runs` lists them")

    def close(self) -> None:
        for agent in self._open.values():
            agent.close()
