"""Calls to the outside, once each: the ledger is asked before and told after every call."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from milepost_agent.errors import LedgerConflict
from milepost_agent.failpoints import failpoint
from milepost_agent.store import LedgerEntry, Store

Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True)
class Effect(Generic[Answer]):
    """The answer of a call; `replayed` when it comes from the ledger and nobody was called."""

    answer: Answer
    replayed: bool


def request_hash(request: Message) -> str:
    """SHA-256 (hex) of the request's deterministic encoding."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()


def call_id(task_id: str, ordinal: int) -> str:
    """The idempotency key of the n-th call (0-based) of a LangGraph task; stable over restarts."""
    return f"{task_id}/{ordinal}"


class Effects:
    """Gives every completed call exactly one answer, over any number of restarts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Answers that came while the store could not take them; the calls are not repeated when it can again.
        self._unrecorded: dict[str, LedgerEntry] = {}

    async def recall(self, key: str, request: Message, answer: type[Answer]) -> Answer | None:
        """The stored answer of a call that was completed.

        Raises:
            LedgerConflict: it was completed for another request.
        """
        entry = await self._store.ledger_get(key)
        if entry is None and (kept := self._unrecorded.get(key)):
            entry = await self._record(kept)
        if entry is None:
            return None
        if entry.request_hash != request_hash(request):
            raise LedgerConflict(f"call {key} was completed before with another request")
        return answer.FromString(entry.response)

    async def once(
        self,
        run_id: str,
        key: str,
        method: str,
        request: Message,
        answer: type[Answer],
        call: Callable[[], Awaitable[Answer]],
    ) -> Effect[Answer]:
        """Calls unless the ledger holds the answer; the answer is committed before it is returned."""
        stored = await self.recall(key, request, answer)
        if stored is not None:
            return Effect(stored, replayed=True)
        failpoint("effect.before_call")
        fresh = await call()
        failpoint("effect.after_call")
        await self._record(
            LedgerEntry(
                call_id=key,
                run_id=run_id,
                ordinal=int(key.rpartition("/")[2]),
                method=method,
                request_hash=request_hash(request),
                response=fresh.SerializeToString(),
                create_time=0.0,
            )
        )
        return Effect(fresh, replayed=False)

    async def _record(self, entry: LedgerEntry) -> LedgerEntry:
        self._unrecorded[entry.call_id] = entry
        try:
            return await self._store.ledger_put(entry)
        finally:
            if self._store.failure is None:
                self._unrecorded.pop(entry.call_id, None)
