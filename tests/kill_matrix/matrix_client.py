"""A client that starts runs, watches them to their end and does what they wait for, whatever happens to the agent."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from matrix_agent import Agent, PointFailed
from milepost.agent.v1 import agent_pb2, backup_pb2, backup_pb2_grpc, message_pb2

BACKUP_ID = "20260101T120000Z-1"
PROMPT = "Write a function that reverses a string"


@dataclass
class Client:
    """What a client was told: the runs that it was answered for, and the events that it saw."""

    agent: Agent
    prompt: str = PROMPT
    run_ids: dict[str, str] = field(default_factory=dict)
    seen: list[agent_pb2.RunEvent] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    on_seen: Callable[["Client"], None] | None = None

    def start_runs(self, count: int) -> None:
        """Starts runs; a start that was not answered is asked for again with the same correlation id."""
        for _ in range(count):
            key = str(uuid.uuid4())
            self.agent.correlation_ids.append(key)
            self.start(key)

    def start(self, key: str) -> None:
        """Starts the run of a correlation id, or finds it."""
        request = agent_pb2.StartRunRequest(prompt=self.prompt, correlation_id=key)
        self.run_ids[key] = self.agent.call(lambda stub: stub.StartRun(request, timeout=20)).run.run_id

    def watch_to_the_end(self, reactions: Mapping[str, "Reaction"]) -> None:
        """Follows all runs until each has ended; reacts to events by their type."""
        ended = 0
        for event in self.agent.watch():
            self.seen.append(event)
            if self.on_seen:
                self.on_seen(self)
            if reaction := reactions.get(event.type):
                reaction(self, event)
            ended += event.type == "RunCompleted"
            if ended == len(self.run_ids):
                return

    def approve(self, event: agent_pb2.RunEvent) -> None:
        request = agent_pb2.DecideApprovalRequest(
            run_id=event.run_id,
            approval_id=str(event.data["approval_id"]),
            decision=agent_pb2.APPROVAL_DECISION_APPROVE,
        )
        self.agent.call(lambda stub: stub.DecideApproval(request, timeout=20))

    def answer(self, event: agent_pb2.RunEvent) -> None:
        request = agent_pb2.AnswerQuestionRequest(
            run_id=event.run_id, question_id=str(event.data["question_id"]), answer="in Python"
        )
        self.agent.call(lambda stub: stub.AnswerQuestion(request, timeout=20))

    def send(self, event: agent_pb2.RunEvent, recipient_role: str) -> None:
        """Sends a message, and the same once more, as a client does that is not sure of the first."""
        message = message_pb2.AgentMessage(
            message_id=str(uuid.uuid4()), sender_role="user", recipient_role=recipient_role, payload="Mind the accents"
        )
        request = agent_pb2.SendMessageRequest(run_id=event.run_id, message=message)
        self.agent.call(lambda stub: stub.SendMessage(request, timeout=20))
        self.sent.append(message.message_id)
        if not self.agent.call(lambda stub: stub.SendMessage(request, timeout=20)).duplicate:
            raise PointFailed(f"message {message.message_id} was stored twice")

    def pause(self, event: agent_pb2.RunEvent) -> None:
        request = agent_pb2.PauseRunRequest(run_id=event.run_id, reason="wait", request_id=_id(event.run_id, "pause"))
        self.agent.call(lambda stub: stub.PauseRun(request, timeout=20))

    def resume(self, event: agent_pb2.RunEvent) -> None:
        request = agent_pb2.ResumeRunRequest(run_id=event.run_id, request_id=_id(event.run_id, "resume"))
        self.agent.call(lambda stub: stub.ResumeRun(request, timeout=20))

    def back_up(self, event: agent_pb2.RunEvent) -> None:
        """Makes a backup, which must count and be sound afterwards."""
        request = backup_pb2.CreateBackupRequest(backup_id=BACKUP_ID)
        self.agent.call_over(
            lambda channel: backup_pb2_grpc.BackupServiceStub(channel).CreateBackup(request, timeout=20)
        )
        nothing = backup_pb2.ListBackupsRequest()
        listed = self.agent.call_over(
            lambda channel: backup_pb2_grpc.BackupServiceStub(channel).ListBackups(nothing, timeout=20)
        )
        if [each.backup_id for each in listed.backups if not each.damage] != [request.backup_id]:
            raise PointFailed(f"backups are {[(each.backup_id, each.damage) for each in listed.backups]}")

    def cancel(self, event: agent_pb2.RunEvent) -> None:
        request = agent_pb2.CancelRunRequest(run_id=event.run_id, reason="not needed")
        run = self.agent.call(lambda stub: stub.CancelRun(request, timeout=20)).run
        if run.state != agent_pb2.RUN_STATE_ENDED:
            raise PointFailed("a cancelled run goes on")

    def unended(self) -> int:
        """How many of the runs that it was answered for it has not seen to end."""
        return len(self.run_ids) - sum(event.type == "RunCompleted" for event in self.seen)

    def runs(self) -> list[agent_pb2.Run]:
        """All runs, as the agent tells them now."""
        return [self.get(run_id) for run_id in self.run_ids.values()]

    def get(self, run_id: str) -> agent_pb2.Run:
        return self.agent.call(lambda stub: stub.GetRun(agent_pb2.GetRunRequest(run_id=run_id), timeout=20)).run

    def journal(self) -> list[agent_pb2.RunEvent]:
        """The whole journal, read anew up to the last end of a run."""
        events: list[agent_pb2.RunEvent] = []
        ended = 0
        for event in self.agent.watch():
            events.append(event)
            ended += event.type == "RunCompleted"
            if ended == len(self.run_ids):
                break
        return events


def _id(run_id: str, what: str) -> str:
    """The id of a request: the same whenever it has to be made again."""
    return str(uuid.uuid5(uuid.UUID(run_id), what))


Reaction = Callable[[Client, agent_pb2.RunEvent], None]
