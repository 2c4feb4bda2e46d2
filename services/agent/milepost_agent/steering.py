"""What people do to a run: cancel, pause, resume, answer, send a message. Each may be repeated without harm."""

import time
from collections.abc import Callable
from typing import Any

from milepost_agent.errors import AnsweredDifferently, InvalidRequest, NotWaiting
from milepost_agent.failpoints import failpoint
from milepost_agent.flow import CANCELLED
from milepost_agent.requests import check_text
from milepost_agent.runner import Runner
from milepost_agent.store import ENDED, MessageRecord, NewEvent, NewMessage, NewRequest, RunRecord, Store

MAX_EVENTS = 2_000
ANSWER_EVENTS = ("QuestionAnswered", "ApprovalDecided")


class Steering:
    """Commits what is asked for, then has the runner act on it."""

    def __init__(self, runner: Runner, store: Store, now: Callable[[], float] = time.time) -> None:
        self._runner = runner
        self._store = store
        self._now = now

    async def cancel(self, run_id: str, reason: str, request: NewRequest | None = None) -> RunRecord:
        """Ends a run as Cancelled and stops the call that it is in.

        Raises:
            RunNotFound: there is no such run.
            RequestConflict: the request id belongs to another request.
        """
        record = await self._runner.get(run_id)
        if await self._runner.end(record, CANCELLED, reason or "cancelled by request", request=request):
            failpoint("run.cancelled")
            await self._runner.stop(record)
        return await self._runner.get(record.run_id)

    async def pause(self, run_id: str, reason: str, request: NewRequest | None = None) -> RunRecord:
        """Has a run go no further than to the end of the step that it is in, over restarts too, until it is resumed.

        Raises:
            RunNotFound: there is no such run.
            RequestConflict: the request id belongs to another request.
        """
        record = await self._runner.get(run_id)
        event = NewEvent("RunPaused", step=record.current_step, data={"reason": reason})
        await self._store.commit(
            record.run_id,
            events=[event],
            update={"paused": self._now()},
            unless_ended=True,
            guard=lambda now: now.paused is None,
            request=request,
        )
        failpoint("run.paused")
        record = await self._runner.get(record.run_id)
        # A request that was done before may come again when the run has gone on since.
        if record.paused is not None:
            self._runner.ask_to_pause(record.run_id)
        return record

    async def resume(self, run_id: str, request: NewRequest | None = None) -> RunRecord:
        """Goes on with a paused run; the time that it was paused counts for nothing.

        Raises:
            RunNotFound: there is no such run.
            RequestConflict: the request id belongs to another request.
        """
        record = await self._runner.get(run_id)
        event = NewEvent("RunContinued", step=record.current_step, data={"paused_seconds": self._paused_for(record)})
        await self._store.commit(
            record.run_id,
            events=[event],
            update=lambda now: {"paused": None, "pending": self._postponed(now)},
            unless_ended=True,
            guard=lambda now: now.paused is not None,
            request=request,
        )
        failpoint("run.continued")
        record = await self._runner.get(record.run_id)
        self._runner.drive(record)
        return record

    async def answer(self, run_id: str, kind: str, input_id: str, answer: Any) -> RunRecord:
        """Stores the answer that a run waits for, then goes on with it. The same answer again changes nothing.

        Raises:
            RunNotFound: there is no such run.
            NotWaiting: it waits for nothing of that kind and id.
            AnsweredDifferently: it had another answer to that before.
        """
        record = await self._runner.get(run_id)
        if not (record.waits_for(input_id, kind=kind) and await self._store_answer(record.run_id, input_id, answer)):
            record = await self._runner.get(run_id)
            await self._require_same_answer(record, kind, input_id, answer)
        failpoint("input.answered")
        record = await self._runner.get(record.run_id)
        self._runner.drive(record)
        return record

    async def send(self, run_id: str, message: NewMessage) -> tuple[MessageRecord, bool]:
        """Puts a message from outside into a role's inbox; True when its id was known already.

        Raises:
            RunNotFound: there is no such run.
            InvalidRequest: the payload or the recipient is not allowed, or the run has ended.
            MessageConflict: the id was used in this run for another message.
        """
        record = await self._runner.get(run_id)
        check_text("message.payload", message.payload)
        roles = sorted({step.role for step in (await self._runner.spec_of(record)).steps})
        if message.recipient_role not in roles:
            raise InvalidRequest(
                f"message.recipient_role: {message.recipient_role[:63]!r} is no role of this workflow; "
                f"allowed: {', '.join(roles)}"
            )
        if record.state == ENDED and not await self._knows(record.run_id, message.message_id):
            raise InvalidRequest(f"run {record.run_id} has ended as {record.outcome}; it takes no more messages")
        event = NewEvent(
            type="MessageSent",
            data={
                "message_id": message.message_id,
                "sender_role": message.sender_role,
                "recipient_role": message.recipient_role,
            },
            traceparent=message.traceparent,
        )
        return await self._store.send_message(record.run_id, message, event)

    async def _knows(self, run_id: str, message_id: str) -> bool:
        return any(message.message_id == message_id for message in await self._store.messages(run_id))

    async def _store_answer(self, run_id: str, input_id: str, answer: Any) -> bool:
        return await self._store.commit(
            run_id,
            update=lambda now: {"pending": {**(now.pending or {}), "answer": answer}},
            unless_ended=True,
            guard=lambda now: now.waits_for(input_id),
        )

    async def _require_same_answer(self, record: RunRecord, kind: str, input_id: str, answer: Any) -> None:
        pending = record.pending or {}
        if record.input_id == input_id and pending.get("kind") == kind and record.is_answered:
            known = pending["answer"]
        else:
            known = await self._answered(record, kind, input_id)
        if known is None:
            raise NotWaiting(f"run {record.run_id} does not wait for {kind} {input_id}")
        if known != answer:
            raise AnsweredDifferently(f"{kind} {input_id} of run {record.run_id} was answered before, and differently")

    async def _answered(self, record: RunRecord, kind: str, input_id: str) -> Any:
        """What a run was answered earlier, or None."""
        events = await self._store.events(record.run_id, limit=MAX_EVENTS)
        for event in events:
            if event.type in ANSWER_EVENTS and event.data.get(f"{kind}_id") == input_id:
                given = {key: value for key, value in event.data.items() if key != f"{kind}_id"}
                return given.get("answer", given)
        return None

    def _paused_for(self, record: RunRecord) -> float:
        return 0.0 if record.paused is None else max(self._now() - record.paused, 0.0)

    def _postponed(self, record: RunRecord) -> dict[str, Any] | None:
        """What the run waits for, with its end put off by the time that nobody could be expected to answer."""
        pending = record.pending
        if pending is None or "expires" not in pending:
            return pending
        return {**pending, "expires": pending["expires"] + self._paused_for(record)}
