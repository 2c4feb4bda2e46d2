"""Messages between roles: from a step, from a tool inside of it, from outside; delivered once, refused by name."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_harness import ScriptedService, agent, workflow
from milepost.capability.v1 import capability_pb2
from milepost_agent.errors import InvalidRequest, MessageConflict
from milepost_agent.store import NewMessage

APPROVED = {"approved": True, "comment": ""}


def telling(request: capability_pb2.InvokeRequest, call: int) -> capability_pb2.InvokeResult:
    """A researcher whose tool sends three messages, of which one can be delivered to somebody."""
    result = capability_pb2.InvokeResult(text=f"{request.role} {call}", verdict=(*request.verdicts, "")[0])
    if request.role == "researcher":
        for role, payload in (("coder", "use tabs"), ("painter", "use red"), ("reviewer", " ")):
            result.messages.add(recipient_role=role, payload=payload)
    return result


@pytest.fixture
async def worker() -> AsyncIterator[ScriptedService]:
    service = ScriptedService("worker", ("rag", "coding", "review"), answer=telling)
    await service.start()
    yield service
    await service.stop()


@pytest.mark.requirement("A2A-1")
async def test_a_tool_inside_a_step_sends_to_a_role_and_what_cannot_be_delivered_is_refused_by_name(
    tmp_path: Path, worker: ScriptedService
) -> None:
    async with agent(tmp_path, workflow(), worker) as harness:
        record = await harness.run()
        stored = await harness.store.messages(record.run_id)
        events = await harness.events(record.run_id)
    assert [(each.sender_role, each.recipient_role, each.payload, each.delivered) for each in stored] == [
        ("researcher", "coder", "use tabs", True)
    ]
    received = {request.role: [message.payload for message in request.messages] for request in worker.requests}
    assert received == {"researcher": [], "coder": ["use tabs"], "reviewer": []}
    refused = [event.data for event in events if event.type == "MessageRefused"]
    assert [each["reason"] for each in refused] == [
        "'painter' is no role of this workflow; allowed: coder, researcher, reviewer",
        "the payload has 1 bytes; allowed: 1 to 65536",
    ]


@pytest.mark.requirement("A2A-1", "DUR-7")
async def test_a_message_from_outside_is_delivered_once_and_a_repeated_one_is_dropped(
    tmp_path: Path, worker: ScriptedService
) -> None:
    steps = [
        {"name": "research", "role": "researcher", "capability": "rag", "requireApproval": True},
        {"name": "code", "role": "coder", "capability": "coding"},
        {"name": "again", "role": "coder", "capability": "coding"},
    ]
    message = NewMessage(str(uuid.uuid4()), "user", "coder", "mind the gap")
    async with agent(tmp_path, workflow(steps=steps), worker) as harness:
        record, _ = await harness.runner.accept("go")
        approval = (await harness.reached(record.run_id, "waiting")).input_id
        first, known = await harness.steering.send(record.run_id, message)
        assert not known
        assert await harness.steering.send(record.run_id, message) == (first, True)
        with pytest.raises(MessageConflict):
            await harness.steering.send(record.run_id, NewMessage(message.message_id, "user", "coder", "other"))
        with pytest.raises(InvalidRequest, match="'painter' is no role of this workflow; allowed: coder, researcher"):
            await harness.steering.send(record.run_id, NewMessage(str(uuid.uuid4()), "user", "painter", "x"))
    async with agent(tmp_path, workflow(steps=steps), worker, recovering=True) as harness:
        await harness.steering.answer(record.run_id, "approval", approval, APPROVED)
        await harness.ended(record.run_id)
        assert (await harness.steering.send(record.run_id, message))[1], "known for as long as the run is kept"
        with pytest.raises(InvalidRequest, match="has ended as Completed; it takes no more messages"):
            await harness.steering.send(record.run_id, NewMessage(str(uuid.uuid4()), "user", "coder", "late"))
        types = await harness.types(record.run_id)
    coder = [[message.payload for message in request.messages] for request in worker.requests[1:]]
    assert coder == [["mind the gap", "use tabs"], []]
    assert types.count("MessageDelivered") == 2
