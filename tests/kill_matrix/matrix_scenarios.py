"""What the agent is doing when it is killed: workflows, what a client does meanwhile, and how it must end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from matrix_client import PROMPT, Client, Reaction
from milepost.agent.v1 import agent_pb2

LINEAR_HOPS: Final = ("research", "code", "review")
CYCLIC_HOPS: Final = ("research", "code", "review", "code", "review")


@dataclass(frozen=True)
class Scenario:
    """One story. `words` is how the table names it; `messages` is how many the workflow itself sends in a run."""

    name: str
    words: str
    workflow: Mapping[str, Any]
    hops: tuple[str, ...]
    reactions: Mapping[str, Reaction] = field(default_factory=dict)
    outcome: str = "COMPLETED"
    runs: int = 1
    messages: int = 0
    reason: str = ""
    prompt: str = PROMPT

    def play(self, client: Client) -> None:
        """Starts the runs and follows them to their end."""
        client.prompt = self.prompt
        client.start_runs(self.runs)
        client.watch_to_the_end(self.reactions)

    def outcome_value(self) -> int:
        return agent_pb2.RunOutcome.Value(f"RUN_OUTCOME_{self.outcome}")


def steps(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    """The three steps, each with the changes that are named like it."""
    plain = [
        {"name": "research", "role": "researcher", "capability": "rag"},
        {"name": "code", "role": "coder", "capability": "coding"},
        {"name": "review", "role": "reviewer", "capability": "review"},
    ]
    return [step | changes.get(str(step["name"]), {}) for step in plain]


def linear(**spec: Any) -> dict[str, Any]:
    return {"pattern": "linear", "steps": steps(), "arbitrator": {"modelRef": {"name": "worker"}}, **spec}


def cyclic() -> dict[str, Any]:
    return linear(pattern="cyclic", cycle={"from": "review", "to": "code"})


def waits() -> dict[str, Any]:
    """Asks the user before the first step, and needs an approval for the second."""
    return linear(
        steps=steps(code={"requireApproval": True}),
        router={"confidenceThreshold": 1.0},
        arbitrator={"modelRef": {"name": "worker"}, "onLowConfidence": "ask"},
    )


def _send_and_approve(client: Client, event: agent_pb2.RunEvent) -> None:
    client.send(event, "reviewer")
    client.approve(event)


LINEAR: Final = Scenario("linear", "linear, 3 hops", linear(), LINEAR_HOPS)
POWER: Final = Scenario(
    "power",
    "3 linear runs with prompts of 60 KB",
    linear(),
    LINEAR_HOPS,
    runs=3,
    prompt=f"{PROMPT}\n{'Mind this. ' * 5_500}",
)
"""Long enough that the write-ahead log is moved into the database while the runs go on."""


def _pause_send_and_resume(client: Client, event: agent_pb2.RunEvent) -> None:
    client.pause(event)
    client.send(event, "reviewer")
    client.approve(event)
    client.resume(event)


def _pause_in_the_step(client: Client, event: agent_pb2.RunEvent) -> None:
    if event.step == "code":
        client.pause(event)


def _back_up_and_approve(client: Client, event: agent_pb2.RunEvent) -> None:
    client.back_up(event)
    client.approve(event)


APPROVAL: Final = linear(steps=steps(code={"requireApproval": True}))
SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        LINEAR,
        Scenario("cyclic", "cyclic with a rejection, 5 hops", cyclic(), CYCLIC_HOPS, messages=1),
        Scenario("parallel", "3 cyclic runs at once", cyclic(), CYCLIC_HOPS, runs=3, messages=1),
        Scenario(
            "waits",
            "a question and an approval",
            waits(),
            LINEAR_HOPS,
            {"QuestionAsked": Client.answer, "ApprovalRequested": Client.approve},
        ),
        Scenario(
            "message",
            "a message from outside while it waits",
            APPROVAL,
            LINEAR_HOPS,
            {"ApprovalRequested": _send_and_approve},
        ),
        Scenario(
            "paused",
            "paused, approved and resumed while it waits",
            APPROVAL,
            LINEAR_HOPS,
            {"ApprovalRequested": _pause_send_and_resume},
        ),
        Scenario(
            "paused-step",
            "paused in a step, then resumed",
            linear(steps=steps(review={"requireApproval": True})),
            LINEAR_HOPS,
            {"StepStarted": _pause_in_the_step, "RunPaused": Client.resume, "ApprovalRequested": Client.approve},
            prompt=f"{PROMPT} hold=coder/1/0.05",
        ),
        Scenario(
            "convicted",
            "a run that killed its process twice before",
            linear(),
            LINEAR_HOPS[:1],
            outcome="NEEDS_ATTENTION",
            reason="CrashLoop: the process died 3 times in step code of this run",
        ),
        Scenario(
            "backup",
            "a backup while it waits",
            APPROVAL,
            LINEAR_HOPS,
            {"ApprovalRequested": _back_up_and_approve},
        ),
        Scenario(
            "cancel",
            "cancelled while it waits",
            APPROVAL,
            ("research",),
            {"ApprovalRequested": Client.cancel},
            outcome="CANCELLED",
        ),
        POWER,
    )
}
