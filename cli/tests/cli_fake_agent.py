"""AgentService and RegistryService over real gRPC that play a written journal: the agent in the tests of commands."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
from cli_fake_backups import FakeBackups
from google.protobuf.struct_pb2 import Struct

from milepost.agent.v1 import agent_pb2, agent_pb2_grpc, backup_pb2_grpc, message_pb2
from milepost.registry.v1 import registry_pb2, registry_pb2_grpc

RUN_ID = "7d3c5a10-0000-4000-8000-000000000001"
CORRELATION_ID = "0b9f0000-0000-4000-8000-000000000009"
OTHER_RUN_ID = "91aa0000-0000-4000-8000-000000000002"


@dataclass(frozen=True)
class Written:
    """One event of the journal that is played."""

    type: str
    step: str = ""
    hop_index: int = 0
    data: Mapping[str, Any] = field(default_factory=dict)


def review_loop_events(outcome: str = "Completed") -> list[Written]:
    """A journal as the agent writes it for one research hop and two review cycles."""
    services = [
        {"service": "docs", "capability": "rag", "confidence": 0.83},
        {"service": "smollm2", "capability": "general", "confidence": 0.11},
    ]
    budget = {"remaining_hops": 4, "current_cycle": 1, "max_cycles": 2}
    return [
        Written("RunAccepted"),
        Written("RunStarted", data={"remaining_hops": 5, "current_cycle": 1, "max_cycles": 2}),
        Written(
            "Recommended",
            "research",
            1,
            {
                "services": services,
                "none_probability": 0.06,
                "reasoning": "nearest example: look up the rules",
                "path": "embedding",
                "duration_ms": 12.25,
            },
        ),
        Written(
            "Decided",
            "research",
            1,
            {
                "action": "invoke",
                "service": "smollm2",
                "agreed": False,
                "reason": "0.61 over 0.39",
                "choices": [{"choice": "invoke:smollm2", "probability": 0.61}],
                "duration_ms": 88,
            },
        ),
        Written("StepStarted", "research", 1, {"service": "smollm2", "attempt": 1}),
        Written(
            "StepCompleted",
            "research",
            1,
            {
                "service": "smollm2",
                "output": "Rules:\n\x1b[31mone\x1b[0m\ntwo\nthree\nfour\nfive",
                "verdict": "",
                "duration_ms": 1200,
                "citations": [{"source": "python-style.md"}],
                "tool_calls": [{"name": "calculator", "arguments": "{}", "result": "391"}],
                **budget,
            },
        ),
        Written("ReviewCycle", "review", 3, {"cycle": 1, "max_cycles": 2, "verdict": "revise"}),
        Written("SomethingNew", "review", 3, {"colour": "blue"}),
        Written("RunCompleted", data={"outcome": outcome, "reason": "why it ended", "result": "def f(): ..."}),
    ]


class FakeAgent(agent_pb2_grpc.AgentServiceServicer, registry_pb2_grpc.RegistryServiceServicer):
    """Holds one run whose journal is `events`; `pause_after` events the stream waits for `go_on`.

    With `holds` off it has no run until one is started.
    """

    def __init__(
        self,
        events: Sequence[Written],
        outcome: int = agent_pb2.RUN_OUTCOME_COMPLETED,
        *,
        run_id: str = RUN_ID,
        correlation_id: str = CORRELATION_ID,
        holds: bool = True,
    ) -> None:
        self.run_id = run_id
        self.correlation_id = correlation_id
        self.holds = holds
        self.events = [_event(number, written) for number, written in enumerate(events, start=101)]
        self.outcome = outcome
        self.requests: list[Any] = []
        self.after_sequences: list[int] = []
        self.failure = ""
        """Why nothing can be written."""
        self.observability = agent_pb2.GetObservabilityResponse(
            mode=agent_pb2.OBSERVABILITY_MODE_SHIPPING, cause="spec.observability.mode"
        )
        self.pause_after: int | None = None
        self.paused = threading.Event()
        self.go_on = threading.Event()
        self.backups = FakeBackups()
        self.port = 0
        self._server: grpc.Server | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the same port as before when there was one."""
        server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        agent_pb2_grpc.add_AgentServiceServicer_to_server(self, server)
        backup_pb2_grpc.add_BackupServiceServicer_to_server(self.backups, server)
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(self, server)
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        server.start()
        self._server = server

    def stop(self) -> None:
        """Drop every connection, as a process does that is killed."""
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None

    def run(self) -> agent_pb2.Run:
        run = agent_pb2.Run(
            run_id=self.run_id,
            correlation_id=self.correlation_id,
            workflow="review-loop",
            prompt="Write it",
            state=agent_pb2.RUN_STATE_ENDED,
            outcome=self.outcome,
            result="def f(): ...",
            remaining_hops=2,
            max_hops=5,
            current_cycle=1,
            max_cycles=2,
            current_step="review",
            recoveries=1,
            last_sequence=self.events[-1].sequence,
            hops=[_hop(1, "research", 12.25), _hop(2, "code", 30.5)],
        )
        run.create_time.FromSeconds(1_800_000_000)
        run.end_time.FromSeconds(1_800_000_009)
        return run

    def StartRun(self, request: agent_pb2.StartRunRequest, context: Any) -> agent_pb2.StartRunResponse:
        self.requests.append(request)
        if self.failure:
            context.abort(grpc.StatusCode.UNAVAILABLE, self.failure)
        existing = self.holds and request.correlation_id == self.correlation_id
        if not self.holds:
            self.holds, self.correlation_id = True, request.correlation_id
        return agent_pb2.StartRunResponse(run=self.run(), existing=existing)

    def WatchRun(self, request: agent_pb2.WatchRunRequest, context: Any) -> Iterator[agent_pb2.WatchRunResponse]:
        self.after_sequences.append(request.after_sequence)
        for number, event in enumerate(self.events, start=1):
            if event.sequence > request.after_sequence:
                yield agent_pb2.WatchRunResponse(event=event)
            if number == self.pause_after:
                self.paused.set()
                while not self.go_on.is_set() and context.is_active():
                    time.sleep(0.01)
                if not context.is_active():
                    return

    def GetRun(self, request: agent_pb2.GetRunRequest, context: Any) -> agent_pb2.GetRunResponse:
        self.requests.append(request)
        if len(request.run_id) != len(RUN_ID):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"run_id: '{request.run_id}' is no UUID; allowed: a UUID")
        if not self.holds or request.run_id not in (self.run_id, self.correlation_id):
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no run '{request.run_id}'")
        return agent_pb2.GetRunResponse(run=self.run())

    def ListRuns(self, request: agent_pb2.ListRunsRequest, context: Any) -> agent_pb2.ListRunsResponse:
        self.requests.append(request)
        if not self.holds:
            return agent_pb2.ListRunsResponse()
        if self.run_id != RUN_ID:
            return agent_pb2.ListRunsResponse(runs=[self.run()])
        if not request.page_token and request.page_size > 1:
            return agent_pb2.ListRunsResponse(runs=[self.run()], next_page_token="more")
        other = self.run()
        other.run_id = OTHER_RUN_ID
        other.outcome = agent_pb2.RUN_OUTCOME_REVIEW_LIMIT_REACHED
        other.create_time.FromSeconds(1_800_000_100)
        return agent_pb2.ListRunsResponse(runs=[other])

    def CancelRun(self, request: agent_pb2.CancelRunRequest, context: Any) -> agent_pb2.CancelRunResponse:
        self.requests.append(request)
        run = self.run()
        run.outcome = agent_pb2.RUN_OUTCOME_CANCELLED
        return agent_pb2.CancelRunResponse(run=run)

    def PauseRun(self, request: agent_pb2.PauseRunRequest, context: Any) -> agent_pb2.PauseRunResponse:
        self.requests.append(request)
        return agent_pb2.PauseRunResponse(run=self._going_on(agent_pb2.RUN_STATE_PAUSED))

    def ResumeRun(self, request: agent_pb2.ResumeRunRequest, context: Any) -> agent_pb2.ResumeRunResponse:
        self.requests.append(request)
        return agent_pb2.ResumeRunResponse(run=self._going_on(agent_pb2.RUN_STATE_RUNNING))

    def _going_on(self, state: agent_pb2.RunState) -> agent_pb2.Run:
        run = self.run()
        run.state, run.outcome = state, agent_pb2.RUN_OUTCOME_UNSPECIFIED
        return run

    def SendMessage(self, request: agent_pb2.SendMessageRequest, context: Any) -> agent_pb2.SendMessageResponse:
        self.requests.append(request)
        if request.message.recipient_role != "coder":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "message.recipient_role: no role; allowed: coder")
        return agent_pb2.SendMessageResponse(message=request.message, duplicate=len(self.requests) > 2)

    def ListMessages(self, request: agent_pb2.ListMessagesRequest, context: Any) -> agent_pb2.ListMessagesResponse:
        message = message_pb2.AgentMessage(sender_role="reviewer", recipient_role="coder", payload="use tabs")
        stored = agent_pb2.StoredMessage(message=message, delivered=True, run_id=self.run_id)
        return agent_pb2.ListMessagesResponse(messages=[stored])

    def AnswerQuestion(self, request: agent_pb2.AnswerQuestionRequest, context: Any) -> Any:
        self.requests.append(request)
        if request.question_id != "q1":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the run does not wait for this question")
        return agent_pb2.AnswerQuestionResponse(run=self.run())

    def DecideApproval(self, request: agent_pb2.DecideApprovalRequest, context: Any) -> Any:
        self.requests.append(request)
        return agent_pb2.DecideApprovalResponse(run=self.run())

    def GetObservability(self, request: Any, context: Any) -> agent_pb2.GetObservabilityResponse:
        return self.observability

    def SetObservability(self, request: Any, context: Any) -> agent_pb2.SetObservabilityResponse:
        self.requests.append(request)
        self.observability = agent_pb2.GetObservabilityResponse(mode=request.mode, cause=request.cause)
        if request.HasField("duration"):
            self.observability.until.FromSeconds(1_000_000 + request.duration.seconds)
        return agent_pb2.SetObservabilityResponse(mode=request.mode)

    def GetAgent(self, request: agent_pb2.GetAgentRequest, context: Any) -> agent_pb2.GetAgentResponse:
        steps = [agent_pb2.AgentStep(name=name, role="writer") for name in ("research", "code", "review")]
        return agent_pb2.GetAgentResponse(
            workflow="review-loop",
            pattern="cyclic",
            steps=steps,
            max_hops=5,
            max_cycles=2,
            ended=2,
            epoch=self.backups.epoch,
            store=agent_pb2.StoreStatus(failure=self.failure),
        )

    def ListServices(self, request: registry_pb2.ListServicesRequest, context: Any) -> Any:
        service = registry_pb2.Service(
            name="docs",
            target="127.0.0.1:1",
            capabilities=["rag"],
            description="Looks things up",
            state=registry_pb2.SERVICE_STATE_READY,
            usage=registry_pb2.Usage(
                cpu_cores=0.25,
                memory_bytes=64 * 2**20,
                memory_limit_bytes=512 * 2**20,
                tokens_per_second=41.26,
                active_calls=1,
                queued_calls=3,
                source="cgroup",
            ),
            details={"model": "Writer-1B.Q8_0.gguf", "contextTokens": "2048", "sequences": "8", "threads": "2"},
        )
        bare = registry_pb2.Service(name="their-own", target="127.0.0.1:2", state=registry_pb2.SERVICE_STATE_READY)
        return registry_pb2.ListServicesResponse(services=[service, bare])


def _event(sequence: int, written: Written) -> agent_pb2.RunEvent:
    data = Struct()
    data.update(dict(written.data))
    event = agent_pb2.RunEvent(
        sequence=sequence,
        run_id=RUN_ID,
        type=written.type,
        step=written.step,
        hop_index=written.hop_index,
        data=data,
    )
    event.time.FromSeconds(1_800_000_000 + sequence)
    return event


def _hop(index: int, step: str, router_ms: float) -> agent_pb2.Hop:
    hop = agent_pb2.Hop(
        hop_index=index,
        step=step,
        role="writer",
        service="smollm2",
        recommendation=agent_pb2.Recommendation(
            services=[agent_pb2.ScoredService(service="docs", capability="rag", confidence=0.83)],
            none_probability=0.06,
            reasoning="docs fits best",
            path="embedding",
            duration_ms=router_ms,
            fallback_reason="language model: late after 2.0 s",
        ),
        decision=agent_pb2.Decision(
            action="invoke",
            service="smollm2",
            agreed=False,
            reason="0.61 over 0.39",
            choices=[agent_pb2.ScoredChoice(choice="invoke:smollm2", probability=0.61)],
            duration_ms=88,
        ),
        output="Rules:\none",
    )
    hop.start_time.FromSeconds(1_800_000_000)
    hop.end_time.FromSeconds(1_800_000_002)
    return hop
