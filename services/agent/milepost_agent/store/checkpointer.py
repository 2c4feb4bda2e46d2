"""LangGraph's checkpointer: tables of the stock SQLite saver, one commit a step, latest by sequence."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, Final, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME, SCHEDULED

from milepost_agent.errors import StoreError
from milepost_agent.failpoints import failpoint
from milepost_agent.store import threads
from milepost_agent.store.blocking import BlockingSaver
from milepost_agent.store.database import Database, Transaction, is_fatal
from milepost_agent.store.readers import Readers
from milepost_agent.store.step import Steps

_PAGE: Final = 50
_NOT_AN_END: Final = frozenset({RESUME, SCHEDULED})
_encode = json.JSONEncoder(ensure_ascii=False).encode


class CheckpointSaver(BlockingSaver):
    """Stores checkpoints and the writes of tasks; `thread_id` is the run id.

    "Latest" is what was put last, by a sequence of our own, whatever the clock did in between. Values pass through
    strict msgpack: nothing is unpickled, and only LangGraph's safe types are rebuilt as objects. Without `history`, a
    checkpoint takes the place of the one before it in its namespace, in the same commit. `history` tells which it is.
    """

    def __init__(self, database: Database, readers: Readers, steps: Steps, history: bool) -> None:
        super().__init__(serde=JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None))
        self._database = database
        self._readers = readers
        self._steps = steps
        self.history = history
        self._loop = asyncio.get_running_loop()
        # Threads with a task whose writes were refused: a checkpoint that builds on them must not be stored.
        self._refused: dict[str, BaseException] = {}

    def discard_all(self) -> None:
        """Forgets what tasks that no longer run were refused."""
        self._refused.clear()

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint of the config's `checkpoint_id`, or the latest of its thread."""
        place = config["configurable"]
        thread_id, checkpoint_ns = str(place["thread_id"]), place.get("checkpoint_ns", "")
        checkpoint_id = get_checkpoint_id(config)
        stored = self._readers.look_up(lambda db: threads.find(db, thread_id, checkpoint_ns, checkpoint_id))
        return None if stored is None else self._load(stored)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints, latest first, read in pages: an iteration that pauses holds up nobody."""
        selection = _select(config, filter, before)
        below: int | None = None
        while limit is None or limit > 0:
            size = _PAGE if limit is None else min(limit, _PAGE)
            page = await self._readers.read(partial(threads.listing, selection=selection, below=below, limit=size))
            for _, stored in page:
                yield self._load(stored)
            if len(page) < size:
                return
            below = page[-1][0]
            limit = None if limit is None else limit - size

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Stores a checkpoint; on return it is on disk, with all that was queued before it.

        Raises:
            StoreError: the writes of one of its tasks were refused before.
        """
        place = config["configurable"]
        await self.begin_put(config, checkpoint, metadata)
        checkpoint_ns = place.get("checkpoint_ns", "")
        stored = {"thread_id": place["thread_id"], "checkpoint_ns": checkpoint_ns, "checkpoint_id": checkpoint["id"]}
        return {"configurable": stored}

    def begin_put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        *,
        known: Sequence[str] | None = None,
        finished: str | None = None,
    ) -> "asyncio.Future[None]":
        """`aput` without a task of its own: what is put is read here and now, and the future is done when it is stored.

        What is begun first is stored first, and with the writes of its tasks or not at all.

        Args:
            config: With the thread, the namespace and the checkpoint before.
            checkpoint: All of it.
            metadata: Its step and source.
            known: The ids of all checkpoints that the namespace holds, when the caller knows them: without `history`
                they are deleted by their keys, which is cheaper than to look for them.
            finished: The id of the task whose writes the checkpoint holds. They were not put, as they would be deleted
                with the checkpoint before; the task's `StepTransaction` is applied here, or nothing is stored.
        """
        place = config["configurable"]
        thread_id = str(place["thread_id"])
        kind, blob = self.serde.dumps_typed(checkpoint)
        described = _encode(get_checkpoint_metadata(config, metadata)).encode("utf-8", "ignore")
        key = (thread_id, place.get("checkpoint_ns", ""), checkpoint["id"])
        row = (*key, get_checkpoint_id(config), kind, blob, described)
        # The values of a DeltaChannel are spread over the checkpoints before.
        keeps = self.history or "counters_since_delta_snapshot" in metadata
        step = None if finished is None else self._steps.take(thread_id, finished)
        if step is not None:
            step.checkpoint_bytes = len(blob)

        def apply(transaction: Transaction) -> None:
            if refusal := self._refused.get(thread_id):
                raise _not_stored(thread_id, refusal) from refusal
            if step is not None:
                try:
                    step.apply(transaction)
                except Exception as error:
                    if is_fatal(error):
                        raise
                    raise _not_stored(thread_id, error) from error
            threads.put(transaction, row, instead=not keeps, known=known)

        def then() -> None:
            # One checkpoint was refused for it; the next may be of another attempt.
            self._refused.pop(thread_id, None)
            if finished is not None:
                _writes_are_stored()
            failpoint("checkpoint.stored")

        return self._database.submit(apply, appends=True, then=then)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Stores the writes of a task and applies its `StepTransaction`, in one transaction.

        The step of a task that failed is discarded; that of a task that was interrupted is applied. Ordinary writes
        share the commit of the checkpoint that follows; those of errors, interrupts and resumes do not wait for one.
        """
        await self.begin_put_writes(config, writes, task_id, task_path)

    def begin_put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> "asyncio.Future[None]":
        """`aput_writes` without a task of its own; the future is done when they are stored."""
        place = config["configurable"]
        thread_id = str(place["thread_id"])
        key = (thread_id, str(place.get("checkpoint_ns", "")), str(place["checkpoint_id"]), task_id, task_path)
        rows = [
            (*key, WRITES_IDX_MAP.get(channel, index), channel, *self.serde.dumps_typed(value))
            for index, (channel, value) in enumerate(writes)
        ]
        channels = {channel for channel, _ in writes}
        special = channels <= WRITES_IDX_MAP.keys()
        step = None if channels and channels <= _NOT_AN_END else self._steps.take(thread_id, task_id)
        if ERROR in channels:
            step = None

        def apply(transaction: Transaction) -> None:
            try:
                threads.put_writes(transaction, rows, replace=special)
                if step is not None:
                    step.apply(transaction)
            except Exception as error:
                self._refused[thread_id] = error
                raise

        then = _wait_is_stored if INTERRUPT in channels else _writes_are_stored
        return self._database.submit(apply, lazy=channels.isdisjoint(WRITES_IDX_MAP), appends=True, then=then)

    async def adelete_thread(self, thread_id: str) -> None:
        await self._write(lambda transaction: threads.delete(transaction, str(thread_id)))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Deletes checkpoints whose metadata name one of these LangGraph run ids."""
        await self._write(lambda transaction: threads.delete_by_runs(transaction, run_ids))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await self._write(lambda transaction: threads.copy(transaction, source_thread_id, target_thread_id))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Thins out threads: `keep_latest` keeps one checkpoint per namespace, `delete` none.

        A namespace that uses DeltaChannel is left whole by `keep_latest`, since its values are spread over its past.
        """
        if strategy not in {"keep_latest", "delete"}:
            raise ValueError(f"strategy {strategy!r} is unknown; allowed: keep_latest, delete")
        prune = threads.keep_latest if strategy == "keep_latest" else threads.delete

        def apply(transaction: Transaction) -> None:
            for thread_id in thread_ids:
                prune(transaction, str(thread_id))

        await self._write(apply)

    def get_next_version(self, current: str | None, channel: None) -> str:
        """Versions in the stock saver's form, so that either can go on with a thread of the other."""
        number = 0 if current is None else int(str(current).split(".", 1)[0])
        return f"{number + 1:032}.{random.getrandbits(53):016}"

    async def _write(self, apply: Callable[[Transaction], object]) -> None:
        await self._database.submit(apply)

    def _load(self, stored: threads.StoredCheckpoint) -> CheckpointTuple:
        place = {"thread_id": stored.thread_id, "checkpoint_ns": stored.checkpoint_ns}
        parent = stored.parent_checkpoint_id
        return CheckpointTuple(
            config={"configurable": {**place, "checkpoint_id": stored.checkpoint_id}},
            checkpoint=self.serde.loads_typed((stored.type, stored.checkpoint)),
            metadata=cast(CheckpointMetadata, json.loads(stored.metadata) if stored.metadata is not None else {}),
            parent_config={"configurable": {**place, "checkpoint_id": parent}} if parent else None,
            pending_writes=[
                (write.task_id, write.channel, self.serde.loads_typed((write.type, write.value)))
                for write in stored.writes
            ],
        )


def _not_stored(thread_id: str, refusal: BaseException) -> StoreError:
    return StoreError(f"run {thread_id}: the step before was not stored: {refusal}")


def _writes_are_stored() -> None:
    failpoint("checkpoint.writes_stored")


def _wait_is_stored() -> None:
    _writes_are_stored()
    failpoint("wait.stored")


def _select(
    config: RunnableConfig | None, metadata: dict[str, Any] | None, before: RunnableConfig | None
) -> threads.Selection:
    place = config["configurable"] if config else {}
    thread_id = None if place.get("thread_id") is None else str(place["thread_id"])
    until = None
    if before is not None and (checkpoint_id := get_checkpoint_id(before)):
        end = before["configurable"]
        until = (end.get("thread_id", thread_id), end.get("checkpoint_ns", place.get("checkpoint_ns")), checkpoint_id)
    return threads.Selection(thread_id, place.get("checkpoint_ns"), place.get("checkpoint_id"), metadata or {}, until)
