"""What people do to runs: cancel, pause, resume, answer, decide, send."""

import asyncio
import time
import uuid
from typing import Any

from milepost.agent.v1 import agent_pb2, message_pb2
from milepost_gateway.agent import WRITE_SECONDS
from milepost_gateway.api.inputs import CancelMany, Decide, GiveAnswer, Reason, Resume, Send
from milepost_gateway.api.whereabouts import Whereabouts
from milepost_gateway.endpoint import Call, Endpoint, Nothing
from milepost_gateway.errors import ApiError
from milepost_gateway.schema import FLAG, TEXT, listing, message, record
from milepost_service.json_form import to_json

AT_ONCE = 8
LEAST_SECONDS = 1.0
"""For each of several runs, when all the time for an agent that is away was used up by those before it."""
RUN = record(run=message(agent_pb2.Run))


class Steering:
    def __init__(self, where: Whereabouts) -> None:
        self._where = where

    def endpoints(self) -> list[Endpoint]:
        one = "/api/runs/{run_id}"
        results = record(results=listing(record(run_id=TEXT, ok=FLAG, error=TEXT)))
        sent = record(message=message(message_pb2.AgentMessage), duplicate=FLAG)
        return [
            Endpoint(
                "POST", "/api/runs/cancel", "cancelRuns", "Cancels several", self.cancel_many, results, body=CancelMany
            ),
            Endpoint("POST", f"{one}/cancel", "cancelRun", "Ends it as Cancelled", self.cancel, RUN, body=Reason),
            Endpoint("POST", f"{one}/pause", "pauseRun", "Holds it after its step", self.pause, RUN, body=Reason),
            Endpoint("POST", f"{one}/resume", "resumeRun", "Lets it go on", self.resume, RUN, body=Resume),
            Endpoint("POST", f"{one}/answer", "answer", "Answers its question", self.answer, RUN, body=GiveAnswer),
            Endpoint("POST", f"{one}/approval", "decide", "Approves or rejects", self.decide, RUN, body=Decide),
            Endpoint("POST", f"{one}/messages", "sendMessage", "Sends to a role", self.send, sent, body=Send),
        ]

    async def cancel(self, call: Call[Nothing, Reason]) -> dict[str, Any]:
        return {"run": to_json(await self._cancel(call.path["run_id"], call.body.reason, call.body.request_id))}

    async def cancel_many(self, call: Call[Nothing, CancelMany]) -> dict[str, Any]:
        body, gate = call.body, asyncio.Semaphore(AT_ONCE)
        deadline = time.monotonic() + WRITE_SECONDS

        async def one(run_id: str) -> dict[str, Any]:
            async with gate:
                left = max(deadline - time.monotonic(), LEAST_SECONDS)
                try:
                    await self._cancel(run_id, body.reason, _part_of(body.request_id, run_id), left)
                except ApiError as error:
                    return {"run_id": run_id, "ok": False, "error": str(error)}
            return {"run_id": run_id, "ok": True, "error": ""}

        return {"results": await asyncio.gather(*map(one, dict.fromkeys(body.run_ids)))}

    async def _cancel(self, run_id: str, reason: str, request_id: str, seconds: float = WRITE_SECONDS) -> agent_pb2.Run:
        agent = await self._where.agent(run_id)
        request = agent_pb2.CancelRunRequest(run_id=run_id, reason=reason, request_id=request_id or _fresh())
        return (await agent.write(lambda one: one.runs.CancelRun, request, seconds)).run

    async def pause(self, call: Call[Nothing, Reason]) -> dict[str, Any]:
        agent = await self._where.agent(call.path["run_id"])
        request = agent_pb2.PauseRunRequest(
            run_id=call.path["run_id"], reason=call.body.reason, request_id=call.body.request_id or _fresh()
        )
        return {"run": to_json((await agent.write(lambda one: one.runs.PauseRun, request)).run)}

    async def resume(self, call: Call[Nothing, Resume]) -> dict[str, Any]:
        agent = await self._where.agent(call.path["run_id"])
        request = agent_pb2.ResumeRunRequest(run_id=call.path["run_id"], request_id=call.body.request_id or _fresh())
        return {"run": to_json((await agent.write(lambda one: one.runs.ResumeRun, request)).run)}

    async def answer(self, call: Call[Nothing, GiveAnswer]) -> dict[str, Any]:
        agent = await self._where.agent(call.path["run_id"])
        request = agent_pb2.AnswerQuestionRequest(
            run_id=call.path["run_id"], question_id=call.body.question_id, answer=call.body.answer
        )
        return {"run": to_json((await agent.write(lambda one: one.runs.AnswerQuestion, request)).run)}

    async def decide(self, call: Call[Nothing, Decide]) -> dict[str, Any]:
        agent = await self._where.agent(call.path["run_id"])
        yes, no = agent_pb2.APPROVAL_DECISION_APPROVE, agent_pb2.APPROVAL_DECISION_REJECT
        request = agent_pb2.DecideApprovalRequest(
            run_id=call.path["run_id"],
            approval_id=call.body.approval_id,
            decision=yes if call.body.approve else no,
            comment=call.body.comment,
        )
        return {"run": to_json((await agent.write(lambda one: one.runs.DecideApproval, request)).run)}

    async def send(self, call: Call[Nothing, Send]) -> dict[str, Any]:
        agent = await self._where.agent(call.path["run_id"])
        body = call.body
        new = message_pb2.AgentMessage(
            message_id=body.message_id or _fresh(), recipient_role=body.recipient_role, payload=body.payload
        )
        request = agent_pb2.SendMessageRequest(run_id=call.path["run_id"], message=new)
        answer = await agent.write(lambda one: one.runs.SendMessage, request)
        return {"message": to_json(answer.message), "duplicate": answer.duplicate}


def _fresh() -> str:
    """An id of this request, so that it may be tried again while the agent is away."""
    return str(uuid.uuid4())


def _part_of(request_id: str, run_id: str) -> str:
    """The id of the part of a request that is about one run."""
    try:
        return str(uuid.uuid5(uuid.UUID(request_id), run_id)) if request_id else _fresh()
    except ValueError:
        raise ApiError("INVALID_ARGUMENT", "request_id: is not a UUID") from None
