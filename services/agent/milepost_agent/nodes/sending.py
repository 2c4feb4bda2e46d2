"""Messages that a step sends to roles of its workflow: stored with the step, under ids that come out the same again."""

import uuid
from collections.abc import Sequence

from milepost.capability.v1 import capability_pb2
from milepost_agent.nodes.dependencies import Task
from milepost_agent.store import NewMessage
from milepost_crds import AgentWorkflowSpec

MOST_MESSAGES = 16
LARGEST_PAYLOAD = 65_536
"""Bytes of UTF-8."""


def send(task: Task, which: str, sender_role: str, recipient_role: str, payload: str, span: int) -> None:
    """Puts a message into the transaction of the step, whose span this is; `which` tells it from others of the step."""
    traceparent = task.trace.traceparent(span)
    message_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{task.task_id}/{which}"))
    task.transaction.message(
        NewMessage(
            message_id=message_id,
            sender_role=sender_role,
            recipient_role=recipient_role,
            payload=payload,
            hop_index=task.hop_index,
            traceparent=traceparent,
            tracestate=task.trace.state.to_header(),
        )
    )
    task.record_once(
        "MessageSent",
        which,
        traceparent=traceparent,
        message_id=message_id,
        sender_role=sender_role,
        recipient_role=recipient_role,
    )


def send_all(
    task: Task,
    spec: AgentWorkflowSpec,
    sender_role: str,
    messages: Sequence[capability_pb2.OutgoingMessage],
    span: int,
) -> None:
    """Sends what the service of a step asked for; what cannot be delivered is refused by an event, and nothing else."""
    roles = sorted({step.role for step in spec.steps})
    for place, message in enumerate(messages):
        if refusal := _refusal(message, roles, place):
            task.record_once(
                "MessageRefused",
                str(place),
                sender_role=sender_role,
                recipient_role=message.recipient_role[:63],
                reason=refusal,
            )
        else:
            send(task, f"message/{place}", sender_role, message.recipient_role, message.payload, span)


def _refusal(message: capability_pb2.OutgoingMessage, roles: Sequence[str], place: int) -> str:
    size = len(message.payload.encode())
    if place >= MOST_MESSAGES:
        return f"a step sends too many messages; allowed: {MOST_MESSAGES}"
    if message.recipient_role not in roles:
        return f"{message.recipient_role[:63]!r} is no role of this workflow; allowed: {', '.join(roles)}"
    if not message.payload.strip() or size > LARGEST_PAYLOAD:
        return f"the payload has {size} bytes; allowed: 1 to {LARGEST_PAYLOAD}"
    return ""
