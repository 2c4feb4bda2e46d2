"""One agent over gRPC: what it is asked and what it answers, over as many connections as it takes."""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

import grpc

from milepost.agent.v1 import agent_pb2, agent_pb2_grpc, backup_pb2_grpc, message_pb2
from milepost.registry.v1 import registry_pb2, registry_pb2_grpc
from milepost_cli.errors import AgentError, AwayError, NotFoundError
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
ATTEMPT_TIMEOUT = 2.0  # seconds
ASK_KEEPER_EVERY = 0.5  # seconds; whether it is worth to go on waiting
LASTING = 3600.0  # seconds; a call whose work grows with what the agent holds
PATIENCE = 30.0  # seconds that an agent may take to come back
DISK_PATIENCE = 3.0  # seconds that an agent may take to write again before its user is told why it cannot
PAGE = 500


@dataclass(frozen=True)
class RunQuery:
    """Which runs are wanted: values of the enums and a text, each of which asks nothing when it is empty."""

    state: agent_pb2.RunState = agent_pb2.RUN_STATE_UNSPECIFIED
    outcome: agent_pb2.RunOutcome = agent_pb2.RUN_OUTCOME_UNSPECIFIED
    text: str = ""


EVERY_RUN = RunQuery()


class Keeper(Protocol):
    """What brings an agent back when it went away; asked while the agent does not answer."""

    @property
    def patience(self) -> float:
        """Seconds that the agent may take to answer a call."""
        ...

    @property
    def following_patience(self) -> float:
        """Seconds that it may be away while a run is followed."""
        ...

    def check(self) -> None:
        """Raises CliError when the agent will not come back."""
        ...

    def status(self) -> str:
        """What is seen of an agent that is away, as one line; empty when nothing is."""
        ...

    def advice(self) -> str:
        """Where to look when it stays away, as the end of a sentence."""
        ...


class Agent:
    """One agent. Every call is repeated while the agent is away, so each must be safe to repeat.

    `name` is what people know it by; `options` are of gRPC and count more than those that every channel has;
    `attempt_timeout` is the longest that one attempt of a call may take, in seconds.
    """

    def __init__(
        self,
        workflow: str,
        target: str,
        keeper: Keeper,
        *,
        name: str = "",
        options: Sequence[tuple[str, int]] = (),
        attempt_timeout: float = ATTEMPT_TIMEOUT,
    ) -> None:
        self.workflow = workflow
        self.name = name or workflow
        self.keeper = keeper
        self._patience = keeper.patience
        self._attempt_timeout = attempt_timeout
        self._channel = grpc.insecure_channel(target, options=list((dict(CHANNEL_OPTIONS) | dict(options)).items()))
        self.stub = agent_pb2_grpc.AgentServiceStub(self._channel)
        self.backups = backup_pb2_grpc.BackupServiceStub(self._channel)
        self._registry = registry_pb2_grpc.RegistryServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def within(self, patience: float) -> Self:
        """The same agent over the same connection, whose calls wait at most so many seconds for it."""
        other = copy.copy(self)
        other._patience = patience
        return other

    def start_run(self, prompt: str, correlation_id: str) -> agent_pb2.StartRunResponse:
        request = agent_pb2.StartRunRequest(correlation_id=correlation_id, prompt=prompt, workflow=self.workflow)
        return self._call(self.stub.StartRun, request)

    def get_run(self, run_id: str) -> agent_pb2.Run:
        return self._call(self.stub.GetRun, agent_pb2.GetRunRequest(run_id=run_id)).run

    def list_runs(self, limit: int, wanted: RunQuery = EVERY_RUN) -> list[agent_pb2.Run]:
        """Newest first, at most `limit`."""
        runs: list[agent_pb2.Run] = []
        token = ""
        while len(runs) < limit:
            request = agent_pb2.ListRunsRequest(
                page_size=min(PAGE, limit - len(runs)),
                page_token=token,
                state=wanted.state,
                outcome=wanted.outcome,
                query=wanted.text,
            )
            page = self._call(self.stub.ListRuns, request)
            runs.extend(page.runs)
            token = page.next_page_token
            if not token:
                break
        return runs

    def cancel(self, run_id: str, reason: str) -> agent_pb2.Run:
        request = agent_pb2.CancelRunRequest(run_id=run_id, reason=reason, request_id=str(uuid.uuid4()))
        return self._call(self.stub.CancelRun, request).run

    def pause(self, run_id: str, reason: str) -> agent_pb2.Run:
        request = agent_pb2.PauseRunRequest(run_id=run_id, reason=reason, request_id=str(uuid.uuid4()))
        return self._call(self.stub.PauseRun, request).run

    def resume(self, run_id: str) -> agent_pb2.Run:
        request = agent_pb2.ResumeRunRequest(run_id=run_id, request_id=str(uuid.uuid4()))
        return self._call(self.stub.ResumeRun, request).run

    def send_message(self, run_id: str, message: message_pb2.AgentMessage) -> agent_pb2.SendMessageResponse:
        return self._call(self.stub.SendMessage, agent_pb2.SendMessageRequest(run_id=run_id, message=message))

    def list_messages(self, run_id: str) -> list[agent_pb2.StoredMessage]:
        """All messages of a run, oldest first."""
        return list(self._call(self.stub.ListMessages, agent_pb2.ListMessagesRequest(run_id=run_id)).messages)

    def newest_messages(self, limit: int) -> list[agent_pb2.StoredMessage]:
        """Messages of all runs, newest first, at most `limit`."""
        messages: list[agent_pb2.StoredMessage] = []
        token = ""
        while len(messages) < limit:
            size = min(PAGE, limit - len(messages))
            request = agent_pb2.ListMessagesRequest(page_size=size, page_token=token)
            page = self._call(self.stub.ListMessages, request)
            messages.extend(page.messages)
            token = page.next_page_token
            if not token:
                break
        return messages

    def answer(self, run_id: str, question_id: str, answer: str) -> agent_pb2.Run:
        request = agent_pb2.AnswerQuestionRequest(run_id=run_id, question_id=question_id, answer=answer)
        return self._call(self.stub.AnswerQuestion, request).run

    def decide(self, run_id: str, approval_id: str, *, approve: bool, comment: str) -> agent_pb2.Run:
        decision = agent_pb2.APPROVAL_DECISION_APPROVE if approve else agent_pb2.APPROVAL_DECISION_REJECT
        request = agent_pb2.DecideApprovalRequest(
            run_id=run_id, approval_id=approval_id, decision=decision, comment=comment
        )
        return self._call(self.stub.DecideApproval, request).run

    def get_observability(self) -> agent_pb2.GetObservabilityResponse:
        return self._call(self.stub.GetObservability, agent_pb2.GetObservabilityRequest())

    def set_observability(self, mode: agent_pb2.ObservabilityMode, seconds: int | None) -> None:
        request = agent_pb2.SetObservabilityRequest(mode=mode, request_id=str(uuid.uuid4()), cause="milepost obs")
        if seconds is not None:
            request.duration.FromSeconds(seconds)
        self._call(self.stub.SetObservability, request)

    def describe(self) -> agent_pb2.GetAgentResponse:
        return self._call(self.stub.GetAgent, agent_pb2.GetAgentRequest())

    def services(self) -> list[registry_pb2.Service]:
        return list(self._call(self._registry.ListServices, registry_pb2.ListServicesRequest()).services)

    def lasting_call(self, method: Unary[Request, Answer], request: Request) -> Answer:
        """A call that may take as long as it likes while the agent is there; begun again when it went away."""
        for last in (False, False, True):
            self.describe()
            try:
                return self._attempt(method, request, LASTING)
            except grpc.RpcError as error:
                if last or not is_away(error):
                    raise refusal(error) from error
        raise AssertionError("unreachable")

    def _call(self, method: Unary[Request, Answer], request: Request) -> Answer:
        deadline = time.monotonic() + self._patience
        ask_disk = min(time.monotonic() + DISK_PATIENCE, deadline)
        while True:
            attempt = min(self._attempt_timeout, max(deadline - time.monotonic(), 0.1))
            try:
                return self._attempt(method, request, attempt)
            except grpc.RpcError as error:
                if not is_away(error):
                    raise refusal(error) from error
                self.keeper.check()
                if time.monotonic() > ask_disk:
                    ask_disk = time.monotonic() + DISK_PATIENCE
                    self._check_disk()
                if time.monotonic() > deadline:
                    raise AwayError(
                        f"the agent of {self.workflow} has not answered for {self._patience:.0f} s; "
                        f"{self.keeper.advice()}"
                    ) from error
                time.sleep(0.05)

    def _check_disk(self) -> None:
        """Raises AgentError when the agent says that it cannot write."""
        try:
            said = self._attempt(self.stub.GetAgent, agent_pb2.GetAgentRequest(), self._attempt_timeout).store.failure
        except grpc.RpcError:
            return
        if said:
            raise AgentError(
                f"{self.name} stands still: {one_line(said, 300)}; it goes on by itself when the disk takes data again"
            )

    def _attempt(self, method: Unary[Request, Answer], request: Request, timeout: float) -> Answer:
        call = method.future(request, timeout=timeout, wait_for_ready=True)
        try:
            while True:
                try:
                    return call.result(timeout=ASK_KEEPER_EVERY)
                except grpc.FutureTimeoutError:
                    self.keeper.check()
        finally:
            call.cancel()


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
