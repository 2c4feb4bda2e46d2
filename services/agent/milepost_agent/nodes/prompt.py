"""The arbitrator's prompt, in one place so that it can be reviewed as a whole."""

from collections.abc import Sequence

from milepost.model.v1 import model_pb2
from milepost_agent.registry import Entry
from milepost_agent.router import Recommendation
from milepost_agent.state import RunState, hop_index
from milepost_crds import AgentWorkflowSpec, Step

SYSTEM = "You are the arbitrator of a workflow. A router informs you; you decide. Answer with one choice, nothing else."

TEMPLATE = """\
Request: {prompt}
Step: {step} (role {role}): {instructions}
Hop {hop} of {max_hops}, {remaining} remaining. {cycle}
Done so far: {done}
Messages: {messages}
Services: {services}
Router: {recommendation}
{pressure}Choices: {choices}
Your choice:"""

EXCERPT = 400


def arbitration_prompt(
    spec: AgentWorkflowSpec,
    state: RunState,
    step: Step,
    recommendation: Recommendation,
    services: Sequence[Entry],
    choices: Sequence[str],
) -> model_pb2.ChatInput:
    """The prompt after which each valid choice is scored."""
    remaining = state["remaining_hops"]
    text = TEMPLATE.format(
        prompt=_excerpt(state["prompt"]),
        step=step.name,
        role=step.role,
        instructions=_excerpt(step.instructions),
        hop=hop_index(state),
        max_hops=state["max_hops"],
        remaining=remaining,
        cycle=f"Review cycle {state['current_cycle']} of {state['max_cycles']}." if spec.cycle else "",
        done="; ".join(_done(output["step"], output["verdict"]) for output in state["outputs"]) or "nothing",
        messages="; ".join(
            f"{message['sender_role']} to {message['recipient_role']}: {_excerpt(message['payload'])}"
            for message in state.get("inbox", [])
        )
        or "none",
        services="; ".join(f"{entry.name} ({', '.join(entry.capabilities)})" for entry in services),
        recommendation=_recommended(recommendation),
        pressure="Few hops remain: prefer to finish.\n" if "finish" in choices else "",
        choices=", ".join(choices),
    )
    return model_pb2.ChatInput(
        messages=[
            model_pb2.ChatMessage(role="system", content=SYSTEM),
            model_pb2.ChatMessage(role="user", content=text),
        ]
    )


def _excerpt(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= EXCERPT else f"{flat[:EXCERPT]}…"


def _done(step: str, verdict: str) -> str:
    return f"{step} ({verdict})" if verdict else step


def _recommended(recommendation: Recommendation) -> str:
    ranked = ", ".join(f"{each.service} {each.confidence:.2f}" for each in recommendation.services)
    return f"{ranked or 'nothing'}; none fits {recommendation.none_probability:.2f}"
