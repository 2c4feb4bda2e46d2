"""Stories in which a service is killed in the middle of its answer, while the agent lives on."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from matrix_client import PROMPT, Client, Reaction
from matrix_scenarios import LINEAR, LINEAR_HOPS, Scenario, linear, steps
from milepost.agent.v1 import agent_pb2

BACK: Final = "SIGKILL of the service, which comes back"
ANOTHER: Final = "SIGKILL of the service, another one is ready"
NONE: Final = "SIGKILL of the service, none is ready in time"
ROLES: Final = ("researcher", "coder", "reviewer")
HOLD_SECONDS: Final = 1.0
"""How long the answer takes that is cut off; nothing waits for it once the service is dead."""


def service_kills() -> Iterator[tuple[Scenario, str, str]]:
    """(scenario, how, at)."""
    for hop, role in enumerate(ROLES, 1):
        yield _story(f"back-{hop}", hop, role, back=True), BACK, at(hop)
    yield _story("another-2", 2, "coder", back=False), ANOTHER, at(2)
    unanswered = replace(
        _story("none-3", 3, "reviewer", back=False),
        workflow=linear(steps=steps(review={"timeout": "2s"})),
        hops=LINEAR_HOPS[:2],
        outcome="FAILED",
        reason="Unavailable: step review",
    )
    yield unanswered, NONE, at(3)


def at(hop: int) -> str:
    """How the table names the moment."""
    return f"answer of hop {hop}"


def _story(name: str, hop: int, role: str, *, back: bool) -> Scenario:
    prompt = f"{PROMPT} hold={role}/1/{HOLD_SECONDS}"
    return replace(LINEAR, name=f"service-{name}", prompt=prompt, reactions={"StepStarted": _kill(hop, back=back)})


def _kill(hop: int, *, back: bool) -> Reaction:
    def react(client: Client, event: agent_pb2.RunEvent) -> None:
        if event.hop_index != hop or event.data["attempt"] != 1:
            return
        keys = client.agent.correlation_ids
        service = client.agent.services.named(str(event.data["service"]))
        service.wait_busy(keys)
        service.kill(keys)
        if back:
            service.start()

    return react
